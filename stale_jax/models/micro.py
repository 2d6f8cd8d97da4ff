"""Micro-conditions: numbers that are known of a whole clip, heard by every block (SVD, arXiv 2311.15127)."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.models.layers import Dense, time_features


class MicroCondition(nn.Module):
  """One of them as a vector that is added to the caption's; nothing where it is not known.

  The number's logarithm (of 1 + it) is spread into sines and cosines as times are, then a perceptron.

  Attributes:
    features: of the vector.
    dtype: of the computation.
  """

  features: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, value: Float[Array, "batch"]) -> Float[Array, "batch features"]:
    """The vector of each number; NaN: not known."""
    known = jnp.isfinite(value)
    h = time_features(jnp.log1p(jnp.where(known, value, 0))).astype(self.dtype)
    h = nn.silu(Dense(self.features, dtype=self.dtype, name="in")(h))
    return jnp.where(known[:, None], Dense(self.features, dtype=self.dtype, name="out")(h), 0)
