"""Micro-conditions: scalars that describe a whole clip and modulate every block (SVD, arXiv 2311.15127)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.models.layers import TIME_FEATURES, linear, linear_parameters, time_features


def micro_parameters(features: int):
  """Declares the parameters of `micro_condition`."""
  return {"in": linear_parameters(TIME_FEATURES, features), "out": linear_parameters(features, features)}


def micro_condition(params, value: Float[Array, "batch"], dtype) -> Float[Array, "batch features"]:
  """Embeds a scalar by an MLP of the sinusoidal features of log(1 + value).

  Args:
    params: the parameters that `micro_parameters` declares.
    value: one number per example; NaN where unknown.
    dtype: dtype of the computation.

  Returns:
    One vector per example, to be added to the vector of the pooled caption; 0 where the value is unknown.
  """
  known = jnp.isfinite(value)
  h = time_features(jnp.log1p(jnp.where(known, value, 0))).astype(dtype)
  h = jax.nn.silu(linear(params["in"], h, dtype))
  return jnp.where(known[:, None], linear(params["out"], h, dtype), 0)
