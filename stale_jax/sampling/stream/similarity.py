"""The stochastic similarity filter: frames that hardly differ from the last processed one are skipped.

From StreamDiffusion (arXiv 2312.12491, sec. 3.4). A frame with cosine similarity c to the last processed
frame is skipped with probability max(0, (c - threshold) / (1 - threshold)), and the last output is shown
again. At most `most` consecutive frames are skipped.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from stale_jax.fields import check_fields, number


@flax.struct.dataclass
class SimilarityState:
  """The last processed frame, its pixels in one axis, and the number of frames skipped since."""

  reference: Float[Array, "pixels"]
  skipped: Int[Array, ""]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimilarityFilter:
  """Settings of the filter.

  Attributes:
    threshold: similarity at or below which every frame is processed.
    most: largest number of consecutive frames that are skipped.
  """

  threshold: float = number(0.98, least=-1, below=1)
  most: int = number(10, least=0)

  def __post_init__(self):
    check_fields(self, "similarity")

  def start(self, frame: Float[Array, "*shape"]) -> SimilarityState:
    """The state before the first frame, for frames of the shape of `frame`; the first one is processed."""
    return SimilarityState(reference=jnp.zeros(frame.size, jnp.float32), skipped=jnp.int32(self.most))

  def __call__(
    self, state: SimilarityState, frame: Float[Array, "*shape"], key: Key[Array, ""]
  ) -> tuple[SimilarityState, Bool[Array, ""]]:
    """Decides about one frame.

    Args:
      state: the state after the previous frame.
      frame: values in [-1, 1].
      key: PRNG key of this frame.

    Returns:
      (the new state, whether the frame is processed).
    """
    pixels = (jnp.ravel(frame).astype(jnp.float32) + 1) / 2  # As intensities, so that black frames are 0.
    chance = self.skip_probability(state.reference, pixels)
    skips = (jax.random.uniform(key) < chance) & (state.skipped < self.most)
    reference = jnp.where(skips, state.reference, pixels)
    return SimilarityState(reference=reference, skipped=jnp.where(skips, state.skipped + 1, 0)), ~skips

  def skip_probability(self, a: Float[Array, "pixels"], b: Float[Array, "pixels"]) -> Float[Array, ""]:
    """max(0, (c - threshold) / (1 - threshold)) for the cosine similarity c; two black frames are equal."""
    product = jnp.linalg.norm(a) * jnp.linalg.norm(b)
    cosine = jnp.where(product > 0, a @ b / jnp.maximum(product, 1e-12), jnp.all(a == b))
    return jnp.clip((cosine - self.threshold) / (1 - self.threshold), 0, 1)
