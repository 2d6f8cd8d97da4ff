"""The rectified flow from the uniform distribution, the maximum-entropy prior on the box, to the data."""

import dataclasses

import jax
import jax.numpy as jnp

from stale_jax.processes.box import box_to_normal, normal_to_box
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

  def to_normal(self, x):
    return box_to_normal(x)

  def from_normal(self, w):
    return normal_to_box(w)

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
