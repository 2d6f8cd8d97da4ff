"""Fréchet distance between two sets of features (FID's formula, arXiv 1706.08500)."""

import numpy as np
from jaxtyping import Float


def frechet(a: Float[np.ndarray, "n features"], b: Float[np.ndarray, "m features"]) -> float:
  """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)) of Gaussians fitted to the sets.

  The estimate is biased upwards, more so the fewer rows a set has: compare values at equal numbers only, or
  use `kernel_distance`, which is unbiased.
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
  # The product of two covariances has real non-negative eigenvalues; imaginary and negative parts are
  # rounding errors.
  eigenvalues = np.linalg.eigvals(cov_a @ cov_b).real
  root = np.sqrt(np.maximum(eigenvalues, 0)).sum()
  return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root)
