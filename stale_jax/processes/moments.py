"""Mean and low-rank covariance of data, and the probability-flow ODE that they determine near the noise.

Near the noise a clip can hardly be told from its noised version, and the posterior mean of the data is close
to the best affine predictor, which depends on the mean and the covariance alone. With it, the ODE has a
closed form. Wang and Vastola (The Unreasonable Effectiveness of Gaussian Score Approximation, arXiv
2412.09726) call a jump along this solution a teleport: it replaces the first solver steps.

Gaussian noise, x_t = alpha x0 + sigma e. For data N(mu, U diag(lambda) U^T) the marginal at t is Gaussian
with the covariance U diag(sigma^2 + alpha^2 lambda) U^T + sigma^2 (1 - U U^T). The ODE maps Gaussians to
Gaussians, and all of these covariances commute, so that each direction is scaled by the ratio of its standard
deviations:

  x_t = alpha_t mu + U sqrt((sigma_t^2 + alpha_t^2 lambda) / (sigma_T^2 + alpha_T^2 lambda)) U^T d
        + (sigma_t / sigma_T) (1 - U U^T) d,     d = x_T - alpha_T mu.

This is exact for Gaussian data (`gaussian_teleport`).

Reflected noise on [0, 1]. The kernel of a value is 1 + 2 sum_n rho^(n^2) cos(n pi y) cos(n pi u) with
rho = exp(-pi^2 sigma^2 / 2), which is small near the noise. To first order in rho, with z = cos(pi u) and the
cosines c = cos(pi y) of the data, of mean m and covariance C:

  the score is -2 pi rho sin(pi u) E[c | u], and E[c | u] = m + 2 rho C z.

The ODE du / d(sigma^2) = -score / 2 becomes d atanh(z) / d rho = 2 E[c | u]. Its solution from rho_T is, up
to rho^3,

  z = tanh(atanh(z_T) + 2 (rho - rho_T) m + 2 (rho^2 - rho_T^2) C z_T).

`reflected_teleport` has 2 U (sqrt(1 + 2 rho^2 lambda) - sqrt(1 + 2 rho_T^2 lambda)) U^T z_T as its last term,
which agrees up to rho^4 and grows like rho, as the Gaussian solution, where rho^2 lambda is large.

Uniform noise, x_t = (1 - t) x0 + t e with e in [-1, 1]. There is no such solution in many dimensions: a value
within (1 - t) of a wall excludes part of the data completely. The log-likelihood of a candidate x0 changes by
a term of first order in 1 - t, not of second order as for Gaussian noise, so that d values identify the clip
already at 1 - t of about 1 / d, where the affine predictor still knows nothing.
"""

from collections.abc import Iterable

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@flax.struct.dataclass
class Moments:
  """Mean and covariance U diag(variances) U^T of vectors.

  Attributes:
    mean: the mean.
    square: the mean of the squares, value by value.
    basis: U, with orthonormal columns.
    variances: the variances along the columns of the basis, descending.
  """

  mean: Float[Array, "values"]
  square: Float[Array, "values"]
  basis: Float[Array, "values rank"]
  variances: Float[Array, "rank"]


def measured_moments(blocks: Iterable[Float[np.ndarray, "_block values"]], rank: int) -> Moments:
  """The mean and the `rank` largest principal components of the rows of all blocks, in one pass.

  As incremental PCA (Ross et al., Incremental Learning for Robust Visual Tracking, 2008): memory holds twice
  as many components as needed and one block. Mean and square are exact. The components are exact if there are
  at most 2 rank rows, and otherwise close.

  Args:
    blocks: at least one block with at least one row.
    rank: the largest number of components; fewer if there are fewer rows.
  """
  count, mean, square, factor = 0, 0.0, 0.0, None  # The scatter around the mean is about factor^T factor.
  for block in blocks:
    new = block.mean(0, dtype=np.float64)
    # The scatter of the union: of both parts around their own means, and of the two means.
    between = np.sqrt(count * len(block) / (count + len(block))) * (new - mean)
    rows = [(block - new).astype(np.float32), between.astype(np.float32)[None]]
    square = square + np.square(block, dtype=np.float64).sum(0)
    count += len(block)
    mean = mean + len(block) / count * (new - mean)
    factor = _compressed(np.concatenate(rows if factor is None else [factor, *rows]), 2 * rank)
  factor = factor[:rank]
  norms = np.linalg.norm(factor, axis=1)
  factor, norms = factor[norms > 0], norms[norms > 0]
  variances = np.square(norms) / count
  basis, square = (factor / norms[:, None]).T, square / count
  return Moments(*(x.astype(np.float32) for x in (mean, square, basis, variances)))


def _compressed(rows: Float[np.ndarray, "n values"], most: int) -> Float[np.ndarray, "_kept values"]:
  """At most `most` orthogonal rows, of descending norm, whose scatter is nearest to that of `rows`."""
  _, vectors = np.linalg.eigh(rows.astype(np.float64) @ rows.T.astype(np.float64))
  return (vectors[:, ::-1][:, :most].T @ rows).astype(np.float32)


def gaussian_teleport(
  moments: Moments,
  x: Float[Array, "batch values"],
  before: tuple[Float[Array, "batch"], Float[Array, "batch"]],
  after: tuple[Float[Array, "batch"], Float[Array, "batch"]],
) -> Float[Array, "batch values"]:
  """Solves the ODE of Gaussian data under x_t = alpha x0 + sigma e.

  Args:
    moments: of x0.
    x: the state before.
    before, after: (alpha, sigma) before and after.
  """
  (alpha, sigma), (new_alpha, new_sigma) = (tuple(c[:, None] for c in pair) for pair in (before, after))
  spread = jnp.square(sigma) + jnp.square(alpha) * moments.variances
  new_spread = jnp.square(new_sigma) + jnp.square(new_alpha) * moments.variances
  offset, shrink = x - alpha * moments.mean, new_sigma / sigma
  inside = (jnp.sqrt(new_spread / spread) - shrink) * (offset @ moments.basis)
  return new_alpha * moments.mean + shrink * offset + inside @ moments.basis.T


def reflected_teleport(
  moments: Moments,
  u: Float[Array, "batch values"],
  before: Float[Array, "batch"],
  after: Float[Array, "batch"],
) -> Float[Array, "batch values"]:
  """Solves the ODE of reflected diffusion on [0, 1], to second order in rho.

  Args:
    moments: of cos(pi u_0).
    u: the state before.
    before, after: the noise levels sigma before and after.
  """
  rho, new_rho = (jnp.exp(-jnp.square(jnp.pi * level) / 2)[:, None] for level in (before, after))
  z = jnp.clip(jnp.cos(jnp.pi * u), -1 + 1e-6, 1 - 1e-6)  # At the walls, atanh is infinite.
  root, new_root = (jnp.sqrt(1 + 2 * jnp.square(r) * moments.variances) for r in (rho, new_rho))
  drift = (new_rho - rho) * moments.mean - (jnp.square(new_rho) - jnp.square(rho)) * moments.square * z
  drift += ((new_root - root) * (z @ moments.basis)) @ moments.basis.T
  return jnp.arccos(jnp.tanh(jnp.arctanh(z) + 2 * drift)) / jnp.pi
