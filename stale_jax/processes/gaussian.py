"""Gaussian diffusion: x_t = alpha x0 + sigma e, e ~ N(0, 1), whatever alpha and sigma are.

Every member can be stepped exactly: q(x_s | x_t, x0) of the Markov chain with these
marginals is DDPM's posterior (Ho et al., arXiv 2006.11239, eq. 7). The members differ
in their schedule, and EDM in its loss' weight.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number
from stale_jax.processes.interpolant import SHARE_CLIP, TINY, Interpolant
from stale_jax.processes.process import per_frame


class Gaussian(Interpolant):
  """The prior N(0, 1) and the exact ancestral step."""

  draws_noise: ClassVar[bool] = True

  def prior(self, key, shape):
    return jax.random.normal(key, shape)

  def log_prior(self, x):
    return jax.scipy.stats.norm.logpdf(x)

  def project(self, x):
    return x

  def _posterior(self, output, x_t, t, s):
    """Mean and standard deviation of q(x_s | x_t, x0_hat)."""
    x0 = self.denoised(output, x_t, t)
    t, s = per_frame(t, x_t), per_frame(s, x_t)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = self.coefficients(t), self.coefficients(s)
    # q(x_t | x_s) = N(a x_s, sigma_t^2 - a^2 sigma_s^2), a = alpha_t / alpha_s.
    a = alpha_t / jnp.maximum(alpha_s, TINY)
    ratio = jnp.square(sigma_s / jnp.maximum(sigma_t, TINY))
    mean = alpha_s * x0 + a * ratio * (x_t - alpha_t * x0)
    std = sigma_s * jnp.sqrt(jnp.maximum(1 - jnp.square(a) * ratio, 0.0))
    still = t <= s
    return jnp.where(still, x_t, mean), jnp.where(still, 0.0, std)

  def step(self, noise, output, x_t, t, s):
    """One ancestral step from t to s < t with explicit standard-normal `noise`."""
    mean, std = self._posterior(output, x_t, t, s)
    return mean + std * noise

  def noise_of(self, x_s, output, x_t, t, s):
    """The noise with which `step` leads from x_t to x_s; 0 where the step draws none."""
    mean, std = self._posterior(output, x_t, t, s)
    return jnp.where(std > 0, (x_s - mean) / jnp.maximum(std, TINY), 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianFlow(Gaussian):
  """Rectified flow from N(0, 1): the straight line, alpha = 1 - t and sigma = t."""


class UnitVariance(Gaussian):
  """alpha^2 + sigma^2 = 1: the path is an arc, and the member's clock is its angle atan(sigma / alpha)."""

  def coefficients(self, t):
    angle = self.clock(t)
    # In float32, cos(pi / 2) is below 0.
    return jnp.maximum(jnp.cos(angle), 0.0), jnp.sin(angle)

  def rates(self, t):
    alpha, sigma = self.coefficients(t)
    return -sigma, alpha


@dataclasses.dataclass(frozen=True, kw_only=True)
class VP(UnitVariance):
  """Variance-preserving diffusion.

  Attributes:
    schedule: "cosine": alpha = cos(pi t / 2) (Nichol and Dhariwal, arXiv 2102.09672, without their
      offset). "linear": beta rises from .1 to 20 (Song et al., arXiv 2011.13456, app. C).
  """

  schedule: str = choice("cosine", ("cosine", "linear"))

  def __post_init__(self):
    check_fields(self, "process")

  def clock(self, t):
    """The angle atan(sigma / alpha)."""
    if self.schedule == "cosine":
      return np.pi / 2 * t
    log_alpha = -(20.0 - 0.1) / 4 * jnp.square(t) - 0.1 / 2 * t
    return jnp.arctan2(jnp.sqrt(-jnp.expm1(2 * log_alpha)), jnp.exp(log_alpha))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EDM(UnitVariance):
  """The noise levels and the loss' weight of Karras et al., arXiv 2206.00364.

  Time is their grid: level^(1/rho) is linear in it (their eq. 5), so that a plain grid of times
  is theirs. Their data have the scale of ours, and so do their levels. What differs, and why:

  - x_t is their x0 + level n over sqrt(1 + level^2), where their c_in has sigma_data^2 for the 1.
    The division happens once, in the process, so that the network needs no wrapper; with the 1,
    time 0 is the clip itself, as frames that are given must be. The input's scale goes from the
    data's own to 1.
  - There is no c_skip: the output is x0, as for all processes here, so that guidance and the box
    act on clips. c_skip saves the network from copying x_t when there is little noise, but asks
    it for the noise instead, and values that lie exactly on the wall need no noise to be known.
  - Their weight (level^2 + sigma_data^2) / (level sigma_data)^2 makes up for c_out; it is held
    constant below level .1, where it would explode. (Their training, whose levels are log-normal
    about .3, sees few that low. Where training looks is the config's `times` here.)

  Attributes:
    sigma_min, sigma_max: least and greatest level; at t = 0 it is 0.
    rho: how much of the grid lies at small levels.
    sigma_data: standard deviation of the data.
  """

  sigma_min: float = number(0.002, above=0)
  sigma_max: float = number(80.0, above=0)
  rho: float = number(7.0, above=0)
  sigma_data: float = number(0.5, above=0)

  def __post_init__(self):
    check_fields(self, "process")
    if not self.sigma_min < self.sigma_max:
      raise UserError(f"process.sigma_min={self.sigma_min} must be less than sigma_max={self.sigma_max}.")

  def level(self, t):
    """sigma / alpha at time t: noise per data."""
    low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
    return jnp.where(t > 0, (low + t * (high - low)) ** self.rho, 0.0)

  def clock(self, t):
    """The angle atan(sigma / alpha)."""
    return jnp.arctan(self.level(t))

  def residual(self, output, corruption, t):
    """Error of x0 times the root of their weight (their eq. 8 and table 1), bounded."""
    level = jnp.maximum(self.level(per_frame(t, output)), SHARE_CLIP)
    return jnp.sqrt(1 / jnp.square(level) + 1 / self.sigma_data**2) * (output - corruption.target)
