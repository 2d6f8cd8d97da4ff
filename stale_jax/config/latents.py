"""The variant "latents" of the section `source`: clips of another source, encoded by an autoencoder."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from stale_jax.checkpoints.fit import check_fit
from stale_jax.checkpoints.load import model_at
from stale_jax.construct import construct
from stale_jax.data import build_source
from stale_jax.data.codec import Codec
from stale_jax.data.source import Source
from stale_jax.data.sources.check import SPLITS
from stale_jax.data.sources.coded import CodedSource
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number
from stale_jax.models import build_autoencoder
from stale_jax.models.autoencoder import parameter_shapes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
  """Clips of another source, encoded by an autoencoder.

  Except for `autoencoder`, the keys are those of `CodedSource`.

  Attributes:
    source: section of the source whose clips are encoded.
    autoencoder: the autoencoder: a run's folder, a weights file, or the name of a packaged model.
    cache: folder in which the encoded clips are stored.
    size: number of clips to encode.
    split: "train" or "test".
    patch: height and width of a token, in latent pixels.
  """

  source: Mapping[str, Any]
  autoencoder: str
  cache: str = CodedSource.cache
  size: int = number(CodedSource.size, least=1)
  split: str = choice(CodedSource.split, SPLITS)
  patch: int = number(CodedSource.patch, least=1)

  def __post_init__(self):
    check_fields(self, "source")


def build_latents(section: Mapping[str, Any]) -> CodedSource:
  """Loads the autoencoder and builds the source; reads neither examples nor the cache.

  Raises:
    UserError: a key is unknown, or there is no autoencoder at `section.autoencoder` that fits the source.
  """
  latents = construct(Latents, section, "source")
  source = build_source({**latents.source, "split": latents.split})
  return CodedSource(
    source=source,
    codec=load_codec(latents.autoencoder, source),
    cache=latents.cache,
    size=latents.size,
    split=latents.split,
    patch=latents.patch,
  )


def load_codec(path: str, source: Source) -> Codec:
  """The autoencoder at `path`, for the clips of `source`; raises UserError like `build_latents`."""
  params, config = model_at(path)
  if config.get("model", {}).get("name") != "autoencoder":
    raise UserError(
      f"source.autoencoder={path} is not an autoencoder; train one with configs/autoencoder_videos.py."
    )
  network = build_autoencoder(config["model"], tuple(source.senses.values()), source.frames, False)
  weights = {
    name: values for name, values in params["params"].items() if name != "patches"
  }  # Without the discriminator.
  shapes = parameter_shapes(network, source.frames, source.senses["sight"].shape)
  check_fit({"params": weights}, shapes, f"source.autoencoder={path}")
  return Codec(network=network, params={"params": weights})
