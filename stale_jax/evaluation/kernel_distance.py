"""Kernel distance between two sets of features (KID's formula, arXiv 1801.01401)."""

import numpy as np
from jaxtyping import Float

from stale_jax.evaluation.feature_sets import checked


def kernel_distance(a: Float[np.ndarray, "n features"], b: Float[np.ndarray, "m length"]) -> float:
  """Unbiased estimate of the squared maximum mean discrepancy (MMD) of two sets of features.

  The kernel is that of the kernel inception distance, k(x, y) = (x·y / features + 1)^3. The estimate is

      mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{i, j} k(a_i, b_j)

  Its expectation does not depend on the number of clips, and is 0 for equal distributions, so a single
  estimate can be negative. A Fréchet distance, in contrast, grows as the number of clips falls.

  Args:
    a: features, one row per clip; at least 2 rows.
    b: features, one row per clip; at least 2 rows.

  Returns:
    The estimate; the lower, the more alike the two distributions are.

  Raises:
    UserError: as `feature_sets.checked`: too few clips, different features, or values that are not finite.
  """
  a, b = checked(a, b)
  return float(_mean_of_pairs(a) + _mean_of_pairs(b) - 2 * _kernel(a, b).mean())


def _kernel(x, y) -> Float[np.ndarray, "n m"]:
  return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(x) -> float:
  """Mean kernel over ordered pairs of different rows."""
  kernel = _kernel(x, x)
  return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))
