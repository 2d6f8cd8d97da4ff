"""The bijection between the uniform distribution on [-1, 1] and N(0, 1).

With it, any joint Gaussian with unit variances is a Gaussian copula: dependent uniform numbers.
"""

import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

_EDGE = (
  1e-6  # In float32, quantiles closer to 0 or 1 are not finite; N(0, 1) exceeds them once in 500,000 draws.
)


def box_to_normal(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """Maps uniform numbers on [-1, 1] to N(0, 1), element by element; the result is finite."""
  return ndtri(jnp.clip((1 + x) / 2, _EDGE, 1 - _EDGE))


def normal_to_box(w: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """The inverse of `box_to_normal`; every number is mapped into [-1, 1]."""
  return 2 * ndtr(w) - 1
