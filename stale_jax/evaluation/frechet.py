"""Fréchet distance between two sets of features (FID's formula, arXiv 1706.08500)."""

import numpy as np
from jaxtyping import Float

from stale_jax.evaluation.feature_sets import checked


def frechet(a: Float[np.ndarray, "n features"], b: Float[np.ndarray, "m length"]) -> float:
  """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)) of Gaussians fitted to the sets.

  The estimate is biased upwards, more so the fewer rows a set has: compare values at equal numbers only, or
  use `kernel_distance`, which is unbiased.

  Raises:
    UserError: as `feature_sets.checked`: too few clips, different features, or values that are not finite.
  """
  a, b = checked(a, b)
  cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))  # A number if there is one feature.
  # The product of two covariances has real non-negative eigenvalues; imaginary and negative parts are
  # rounding errors.
  eigenvalues = np.linalg.eigvals(cov_a @ cov_b).real
  root = np.sqrt(np.maximum(eigenvalues, 0)).sum()
  return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root)
