"""Rectified flows: straight lines from the prior to the data.

x_t = (1 - t) x0 + t e, so the velocity is v = e - x0 = (x_t - E[x0 | x_t]) / t
(Liu et al., arXiv 2209.03003). The network predicts x0; its squared error over
max(t, .1)^2 is the velocity loss, clipped where the division would explode.
"""

import dataclasses

import jax
import jax.numpy as jnp

from stale_jax.processes.process import Corruption, per_frame

# Below this time the velocity loss' 1 / t^2 is held constant.
_T_CLIP = 0.1
_T_TINY = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformFlow:
  """Rectified flow from the uniform distribution on [-1, 1].

  Every Euler step x_s = (s/t) x_t + (1 - s/t) x0_hat is a convex combination, so
  with x0_hat clipped the sample stays in the box for any number of steps and any
  guidance. There is no stochastic step: the uniform is not infinitely divisible,
  so no Markov re-noising has these marginals.
  """

  def prior(self, key, shape):
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)

  def log_prior(self, x):
    return jnp.full_like(x, -jnp.log(2.0))

  def corrupt(self, key, x0, t):
    """Draws x_t given x0 [batch, frames, *shape] at times t [batch, frames]."""
    t = per_frame(t, x0)
    return Corruption((1 - t) * x0 + t * self.prior(key, x0.shape), x0)

  def residual(self, output, corruption, t):
    """Velocity error an element (clipped below t = .1)."""
    return (output - corruption.target) / jnp.maximum(per_frame(t, output), _T_CLIP)

  def loss(self, output, corruption, t):
    """The residual squared."""
    return jnp.square(self.residual(output, corruption, t))

  def denoised(self, output, x_t, t):
    """E[x0 | x_t], clipped to the box."""
    return self.project(output)

  def clock(self, t):
    """Time itself."""
    return t

  def velocity(self, output, x_t, t):
    """dx/dt of the probability-flow ODE; 0 where t is 0."""
    tt = per_frame(t, x_t)
    v = (x_t - self.denoised(output, x_t, t)) / jnp.maximum(tt, _T_TINY)
    return jnp.where(tt > 0, v, 0.0)

  def project(self, x):
    return jnp.clip(x, -1.0, 1.0)

  def step(self, noise, output, x_t, t, s):
    """One exact Euler step from time t to s < t; `noise` is not used."""
    del noise
    tt, ss = per_frame(t, x_t), per_frame(s, x_t)
    ratio = jnp.where(tt > 0, ss / jnp.maximum(tt, _T_TINY), 1.0)
    return ratio * x_t + (1 - ratio) * self.denoised(output, x_t, t)

  def noise_of(self, x_s, output, x_t, t, s):
    """Raises NotImplementedError: a flow from the uniform has no stochastic step."""
    raise NotImplementedError(f"{type(self).__name__} steps are deterministic: no noise to recover.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianFlow(UniformFlow):
  """Rectified flow from N(0, 1): the baseline, with an exact ancestral step.

  The step draws from q(x_s | x_t, x0_hat) of the Markov chain with marginals
  N((1-t) x0, t^2), the DDPM posterior for alpha = 1 - t, sigma = t.
  """

  def prior(self, key, shape):
    return jax.random.normal(key, shape)

  def log_prior(self, x):
    return jax.scipy.stats.norm.logpdf(x)

  def project(self, x):
    return x

  def denoised(self, output, x_t, t):
    return jnp.clip(output, -1.0, 1.0)

  def _posterior(self, output, x_t, t, s):
    """Mean and standard deviation of q(x_s | x_t, x0_hat)."""
    x0 = self.denoised(output, x_t, t)
    t, s = per_frame(t, x_t), per_frame(s, x_t)
    tiny = jnp.maximum(t, _T_TINY)
    # q(x_t | x_s) = N(a x_s, t^2 - a^2 s^2), a = (1-t)/(1-s).
    a = (1 - t) / jnp.maximum(1 - s, _T_TINY)
    var_t = tiny**2
    gain = a * s**2 / var_t
    mean = (1 - s) * x0 + gain * (x_t - (1 - t) * x0)
    std = s * jnp.sqrt(jnp.maximum(1 - (a * s) ** 2 / var_t, 0.0))
    still = t <= s
    return jnp.where(still, x_t, mean), jnp.where(still, 0.0, std)

  def step(self, noise, output, x_t, t, s):
    """One ancestral step from t to s < t with explicit standard-normal `noise`."""
    mean, std = self._posterior(output, x_t, t, s)
    return mean + std * noise

  def noise_of(self, x_s, output, x_t, t, s):
    """The noise with which `step` leads from x_t to x_s; 0 where the step draws none."""
    mean, std = self._posterior(output, x_t, t, s)
    return jnp.where(std > 0, (x_s - mean) / jnp.maximum(std, _T_TINY), 0.0)
