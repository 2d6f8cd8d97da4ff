"""The rectified flow from the uniform distribution, the maximum-entropy prior on the box, to the data."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

from stale_jax.processes.interpolant import TINY, Interpolant
from stale_jax.processes.process import per_frame


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformFlow(Interpolant):
  """Rectified flow from the uniform distribution on [-1, 1]: x_t = (1 - t) x0 + t e.

  Every Euler step x_s = (s/t) x_t + (1 - s/t) x0_hat is a convex combination. Since x0_hat is clipped, the
  sample stays in the box for any number of steps and any guidance scale. `step` draws no noise: the uniform
  distribution is not infinitely divisible, so no Markov noising has these marginals. `transition` and
  `bridge` are not Markov: they replace part of the noise (`refresh`), as DDIM does.
  """

  def prior(self, key, shape):
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)

  def log_prior(self, x):
    return jnp.full_like(x, -jnp.log(2.0))

  def project(self, x):
    return jnp.clip(x, -1.0, 1.0)

  def step(self, noise, output, x_t, t, s):
    """One exact Euler step from time t to s < t; `noise` is not used."""
    del noise
    tt, ss = per_frame(t, x_t), per_frame(s, x_t)
    ratio = jnp.where(tt > 0, ss / jnp.maximum(tt, TINY), 1.0)
    return ratio * x_t + (1 - ratio) * self.denoised(output, x_t, t)

  def prior_within(self, low, high):
    """See `Interpolant`."""
    low, high = jnp.clip(low, -1.0, 1.0), jnp.clip(high, -1.0, 1.0)
    return (high - low) / 2, (low + high) / 2

  def refresh(self, noise, e, share):
    """Replaces a share of uniform noise by a Gaussian copula; the result is exactly uniform.

    w = ndtri((1 + e) / 2) is N(0, 1), so w' = sqrt(1 - share^2) w + share z is too, and 2 ndtr(w') - 1 is
    uniform. No sum of e and independent noise is uniform in general. The correlation of the result with e is
    (6 / pi) asin(sqrt(1 - share^2) / 2), which differs from sqrt(1 - share^2) by less than .02.
    """
    w = ndtri(jnp.clip((1 + e) / 2, TINY, 1 - TINY))
    return 2 * ndtr(jnp.sqrt(1 - jnp.square(share)) * w + share * noise) - 1
