"""A trained autoencoder as a codec between videos (the sense "sight") and latents."""

import dataclasses
import functools
import hashlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from stale_jax.compilation import batches, compiler_options
from stale_jax.models import Autoencoder

_BATCH = 32


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Codec:
  """An autoencoder with its parameters.

  Attributes:
    network: the autoencoder.
    params: its parameters, without those of the discriminator.
  """

  network: Autoencoder
  params: Any

  @property
  def time(self) -> int:
    """Frames per latent frame. The first latent frame encodes only the first frame."""
    return self.network.time

  def length(self, frames: int) -> int:
    """The smallest number of latent frames that decode to at least `frames` frames."""
    return 1 + -(-(frames - 1) // self.time)

  def latent_shape(self, frames: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape [frames, height, width, channels] of the latents of a clip [frames, *shape]."""
    return self.network.latent_shape(frames, shape)

  def encode(self, sight: Float[np.ndarray, "batch frames h w 3"]) -> Float[np.ndarray, "batch t y x c"]:
    """Encodes clips in [-1, 1] to the autoencoder's own latents, which `CodedSource.encode` also rescales."""
    return jax.device_get(_compiled(self.network, "encode")(self.params, sight))

  def decode(self, z: Float[np.ndarray, "batch t y x c"]) -> Float[np.ndarray, "batch frames h w 3"]:
    """Decodes latents, as `encode` returns them, to clips, at most 32 clips at a time."""
    run = _compiled(self.network, "decode")
    parts = [jax.device_get(run(self.params, z[rows])) for rows in batches(len(z), min(_BATCH, len(z)))]
    return np.concatenate(parts)[: len(z)]

  def digest(self, described: bytes) -> str:
    """Hashes `described` together with the autoencoder and its parameters, to name a cache file.

    Args:
      described: what else determines the content of the file.

    Returns:
      16 hex digits.
    """
    digest = hashlib.sha256(described)
    digest.update(repr(self.network).encode())
    for leaf in jax.tree.leaves(self.params):
      digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


@functools.cache
def _compiled(network: Autoencoder, method: str):
  return jax.jit(functools.partial(network.apply, method=method), compiler_options=compiler_options())
