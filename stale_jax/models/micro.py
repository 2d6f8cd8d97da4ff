"""Micro-conditions: numbers that are known of a whole clip, heard by every block (SVD, arXiv 2311.15127)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.models.layers import TIME_FEATURES, linear, linear_parameters, time_features


def micro_parameters(features: int):
  """Declares the parameters of `micro_condition`."""
  return {"in": linear_parameters(TIME_FEATURES, features), "out": linear_parameters(features, features)}


def micro_condition(params, value: Float[Array, "batch"], dtype) -> Float[Array, "batch features"]:
  """The vector of each number, which is added to the caption's; 0 where the number is NaN, unknown.

  The number's logarithm (of 1 + it) is spread into sines and cosines as times are, then a perceptron.
  """
  known = jnp.isfinite(value)
  h = time_features(jnp.log1p(jnp.where(known, value, 0))).astype(dtype)
  h = jax.nn.silu(linear(params["in"], h, dtype))
  return jnp.where(known[:, None], linear(params["out"], h, dtype), 0)
