"""Gaussian diffusion: x_t = alpha x0 + sigma e with e ~ N(0, 1), for any schedule of alpha and sigma.

All processes here have an exact ancestral step: q(x_s | x_t, x0) of the Markov chain with these marginals is
DDPM's posterior (Ho et al., arXiv 2006.11239, eq. 7). They differ in their schedules; EDM also has a loss
weight of its own.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number
from stale_jax.processes.interpolant import SHARE_CLIP, Interpolant
from stale_jax.processes.moments import gaussian_teleport
from stale_jax.processes.process import per_frame


class Gaussian(Interpolant):
  """An interpolant with the prior N(0, 1) and the exact ancestral step."""

  draws_noise: ClassVar[bool] = True
  has_teleport: ClassVar[bool] = True

  def prior(self, key, shape):
    return jax.random.normal(key, shape)

  def log_prior(self, x):
    return jax.scipy.stats.norm.logpdf(x)

  def to_normal(self, x):
    return x

  def from_normal(self, w):
    return w

  def project(self, x):
    return x

  def step(self, noise, output, x_t, t, s):
    """One ancestral step from t to s < t with explicit standard-normal `noise`."""
    mean, std = self.transition(output, x_t, t, s, 1.0)
    return jnp.where(per_frame(s < t, x_t), mean + std * noise, x_t)

  def coordinate(self, x0):
    """See `TeleportingProcess`; the values themselves."""
    return x0

  def teleport(self, moments, x, t, s):
    """See `TeleportingProcess`; exact for Gaussian data."""
    return gaussian_teleport(moments, x, self.coefficients(t), self.coefficients(s))

  def prior_within(self, low, high):
    """See `Interpolant`."""
    # The tail that is far from 0 would be lost to rounding in 1 - ndtr: both bounds are mirrored to the left.
    mirrored = low + high > 0
    left, right = jnp.where(mirrored, -high, low), jnp.where(mirrored, -low, high)
    mass = jax.scipy.special.ndtr(right) - jax.scipy.special.ndtr(left)
    pdf = jax.scipy.stats.norm.pdf
    mean = jnp.where(mass > 0, (pdf(low) - pdf(high)) / jnp.where(mass > 0, mass, 1.0), 0.0)
    # In a narrow interval both differences cancel; the density is then almost linear (error: width^4).
    width, middle = high - low, (low + high) / 2
    is_narrow = width < 0.1
    mass = jnp.where(is_narrow, width * pdf(middle), mass)
    return mass, jnp.where(is_narrow, middle * (1 - jnp.square(width) / 12), mean)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianFlow(Gaussian):
  """Rectified flow from N(0, 1): the straight line, alpha = 1 - t and sigma = t."""


class UnitVariance(Gaussian):
  """A process with alpha^2 + sigma^2 = 1: the path is an arc, and the clock its angle atan(sigma / alpha)."""

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
    schedule: "cosine": alpha = cos(pi t / 2) (Nichol and Dhariwal, arXiv 2102.09672, without the offset).
      "linear": beta increases from .1 to 20 (Song et al., arXiv 2011.13456, app. C).
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
  """The noise levels and the loss weight of EDM (Karras et al., arXiv 2206.00364).

  level^(1/rho) is linear in time, from sigma_min just above t = 0 to sigma_max at t = 1, as in the paper's
  eq. 5; at t = 0 the level is 0. The grid of a sampler is not the paper's:

  - Eq. 5 with N steps has the levels level(1 - i / (N - 1)) for i < N, the last of which is sigma_min, and
    then 0. `grid(N)` has level(1 - i / N) for i < N, and then 0: it has the same first level, but steps to 0
    from level(1 / N), not from sigma_min (from .0063 instead of .002 for N = 20).
  - `sampling.shift` moves the times; the paper has no shift. With the default shift of 6 and N = 20, the last
    positive level is .15. Set sampling.shift=1 for the grid above.

  The paper's data have a scale similar to ours, so the levels are used unchanged. Other differences:

  - x_t is the paper's x0 + level n divided by sqrt(1 + level^2); the paper's c_in has sigma_data^2 in place
    of the 1. The process divides, so that the network needs no wrapper, and x_t at t = 0 is the clip itself,
    as conditioning frames require. The scale of the input goes from the scale of the data to 1.
  - There is no c_skip. The output is x0, as for all processes here, so that guidance and clipping act on
    clips. With c_skip, a network need not copy x_t at low noise, but must predict the noise instead.
  - The paper's weight (level^2 + sigma_data^2) / (level sigma_data)^2 compensates for c_out. Here it is held
    constant below level .1, where it would diverge. Training times come from the config's `times`; the paper
    draws log-normal levels around .3.

  Attributes:
    sigma_min, sigma_max: smallest positive and largest noise level; the level at t = 0 is 0.
    rho: larger values place more of the grid at low levels.
    sigma_data: standard deviation of the data.

  Raises:
    UserError: sigma_min is not below sigma_max.
  """

  sigma_min: float = number(0.002, least=1e-6, most=1e6)
  sigma_max: float = number(80.0, least=1e-6, most=1e6)
  rho: float = number(7.0, least=1, most=1000)
  sigma_data: float = number(0.5, least=1e-6, most=1e6)

  def __post_init__(self):
    check_fields(self, "process")
    if not self.sigma_min < self.sigma_max:
      raise UserError(f"process.sigma_min={self.sigma_min} must be less than sigma_max={self.sigma_max}.")

  def level(self, t):
    """The noise level sigma / alpha at time t."""
    low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
    return jnp.where(t > 0, (low + t * (high - low)) ** self.rho, 0.0)

  def clock(self, t):
    """The angle atan(sigma / alpha)."""
    return jnp.arctan(self.level(t))

  def residual(self, output, corruption, t):
    """Error of x0 times the root of the weight in the paper's eq. 8 and table 1, constant below level .1."""
    level = jnp.maximum(self.level(per_frame(t, output)), SHARE_CLIP)
    return jnp.sqrt(1 / jnp.square(level) + 1 / self.sigma_data**2) * (output - corruption.target)
