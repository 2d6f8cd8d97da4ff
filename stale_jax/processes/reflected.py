"""Reflected diffusion on the box: Brownian motion that is reflected at the walls.

u_sigma = fold(u_0 + sigma z) with u in [0, 1]; the interface uses x = 2u - 1. The stationary distribution is
uniform, which has maximum entropy on the box. The transition kernel is known exactly, and there is both a
reverse SDE and a probability-flow ODE (Lou and Ermon, Reflected Diffusion Models, arXiv 2304.04740).

The score is an affine function of the network's output O: s = -a(sigma) (u - O) / (min(sigma, .4) sigma),
where a is `noise_rms`. The least-squares fit of s to the score of the kernel is therefore the exact score of
the data. O tends to x0 as sigma tends to 0; at large sigma it is not a posterior mean.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.processes.box import box_to_normal, normal_to_box
from stale_jax.processes.moments import reflected_teleport
from stale_jax.processes.process import Corruption, per_frame

# Below this sigma the kernel is a sum of six Gaussians (image charges), above it a sum of six cosines. At the
# switch both are exact to float32.
_SWITCH = 0.35
_SIGMA_CAP = 0.4  # Above this sigma, the scale of u - O in the score is constant.
_UNFOLDED = 8  # A noised point is looked for among 2 k + u and 2 k - u for |k| up to this, over 5 sigma.
_TABLE_SIGMA_MAX = 3.0  # Last entry of the table of `noise_rms`.


def fold(u):
  """Reflects the real line into [0, 1]."""
  r = jnp.mod(u, 2.0)
  return jnp.where(r > 1.0, 2.0 - r, r)


def fold_box(x):
  """Reflects the real line into [-1, 1]."""
  return 2.0 * fold((x + 1.0) / 2.0) - 1.0


def _image_charges(u, y, sigma):
  k = jnp.arange(-1, 2, dtype=u.dtype)
  means = jnp.concatenate([y[..., None] + 2 * k, -y[..., None] + 2 * k], -1)
  offset = u[..., None] - means
  return offset, -0.5 * jnp.square(offset / sigma[..., None])


def _cosines(u, y, sigma):
  n = jnp.arange(1, 7, dtype=u.dtype)
  decay = jnp.exp(-0.5 * jnp.square(n * jnp.pi * sigma[..., None])) * jnp.cos(n * jnp.pi * y[..., None])
  angle = n * jnp.pi * u[..., None]
  density = 1 + 2 * jnp.sum(decay * jnp.cos(angle), -1)
  slope = -2 * jnp.sum(decay * n * jnp.pi * jnp.sin(angle), -1)
  return density, slope


def log_kernel(u, y, sigma):
  """Log transition density log K(u | y) on [0, 1] (Neumann heat kernel); arguments broadcast."""
  u, y, sigma = jnp.broadcast_arrays(u, y, sigma)
  low = jnp.minimum(sigma, _SWITCH)
  _, logits = _image_charges(u, y, low)
  images = jax.nn.logsumexp(logits, -1) - jnp.log(low * np.sqrt(2 * np.pi))
  cosines = jnp.log(jnp.maximum(_cosines(u, y, jnp.maximum(sigma, _SWITCH))[0], 1e-6))
  return jnp.where(sigma < _SWITCH, images, cosines)


def kernel(u, y, sigma):
  """Transition density K(u | y) on [0, 1]; arguments broadcast."""
  return jnp.exp(log_kernel(u, y, sigma))


def kernel_score(u, y, sigma):
  """d/du log K(u | y) on [0, 1], accurate in float32 at every sigma; arguments broadcast."""
  u, y, sigma = jnp.broadcast_arrays(u, y, sigma)
  low, high = jnp.minimum(sigma, _SWITCH), jnp.maximum(sigma, _SWITCH)
  # As a softmax, the weights of the images cannot all underflow.
  offset, logits = _image_charges(u, y, low)
  images = -jnp.sum(jax.nn.softmax(logits, -1) * offset, -1) / jnp.square(low)
  density, slope = _cosines(u, y, high)
  return jnp.where(sigma < _SWITCH, images, slope / jnp.maximum(density, 1e-6))


@functools.cache
def _noise_rms_table() -> tuple[np.ndarray, np.ndarray]:
  """Table (log sigma, log rms of eps* = -sigma score) for uniform y and u ~ K(. | y), by quadrature."""
  sigmas = np.geomspace(1e-3, _TABLE_SIGMA_MAX, 96)
  nodes, weights = np.polynomial.legendre.leggauss(96)
  y, wy = (nodes + 1) / 2, weights / 2
  rms = []
  for sigma in sigmas:
    if sigma < 0.05:  # A fixed grid of u would not resolve the kernel: integrate over the noise instead.
      z, wz = np.polynomial.hermite_e.hermegauss(80)
      wz = wz / wz.sum()
      uu = y[:, None] + sigma * z
      r = np.mod(uu, 2)
      uu, yy = np.where(r > 1, 2 - r, r), np.broadcast_to(y[:, None], uu.shape)
      w = wy[:, None] * wz
    else:
      uu, yy = np.meshgrid(y, y)
      w = wy[:, None] * wy
    k = np.arange(-8, 9)
    means = np.concatenate([yy[..., None] + 2 * k, -yy[..., None] + 2 * k], -1)
    d = uu[..., None] - means
    g = np.exp(-0.5 * (d / sigma) ** 2)
    dens = g.sum(-1) / (sigma * np.sqrt(2 * np.pi))
    score = -(g * d).sum(-1) / np.maximum(g.sum(-1), 1e-300) / sigma**2
    if sigma > 0.6:  # Here the sum over images loses its digits to cancellation; the cosine series does not.
      n = np.arange(1, 20)
      e = np.exp(-0.5 * (n * np.pi * sigma) ** 2) * np.cos(n * np.pi * yy[..., None])
      dens = 1 + 2 * (e * np.cos(n * np.pi * uu[..., None])).sum(-1)
      score = -2 * (e * n * np.pi * np.sin(n * np.pi * uu[..., None])).sum(-1) / dens
    density = 1.0 if sigma < 0.05 else dens
    rms.append(np.sqrt((w * density * (sigma * score) ** 2).sum()))
  return np.log(sigmas), np.log(rms)


def noise_rms(sigma):
  """a(sigma): root mean square of eps* = -sigma score, for data that are uniform on the box.

  Dividing the target by a(sigma) weights the loss by 1 / E|s|^2. Above sigma = 1 it is
  pi sigma exp(-pi^2 sigma^2 / 2) to 2e-5, the first term of the cosine series. Valid up to sigma = 3, the end
  of the table.
  """
  log_sigma, log_rms = _noise_rms_table()
  # The steep factor exp(-pi^2 sigma^2 / 2) is divided out before interpolation.
  tail = np.square(np.pi * np.exp(log_sigma)) / 2
  smooth = jnp.interp(jnp.log(jnp.maximum(sigma, 1e-3)), jnp.asarray(log_sigma), jnp.asarray(log_rms + tail))
  return jnp.exp(smooth - jnp.square(jnp.pi * sigma) / 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reflected:
  """Reflected diffusion; sigma is geometric in time: sigma(t) = min (max/min)^t for t > 0, and 0 at t = 0.

  Attributes:
    sigma_min: smallest positive noise level, in units of the [0, 1] box.
    sigma_max: noise level at t = 1, at most 3. The total variation distance to the uniform prior is at most
      (2/pi) exp(-pi^2 sigma^2 / 2) per coordinate; 1.6 is enough for 2e5 coordinates.

  Raises:
    UserError: sigma_max is above 3, or sigma_min is not below sigma_max.
  """

  has_flow: ClassVar[bool] = True
  mixes_noise: ClassVar[bool] = False  # Noise is reflected at the walls, not added.
  draws_noise: ClassVar[bool] = True
  is_discrete: ClassVar[bool] = False
  has_teleport: ClassVar[bool] = True
  sigma_min: float = number(0.01, least=1e-6, most=3)
  sigma_max: float = number(1.6, above=0)

  def __post_init__(self):
    check_fields(self, "process")
    if self.sigma_max > _TABLE_SIGMA_MAX:
      raise UserError(
        f"process.sigma_max={self.sigma_max} must be at most 3, where the table of the score ends; there "
        "the noise is already uniform to 1e-19. The default is 1.6."
      )
    if not self.sigma_min < self.sigma_max:
      raise UserError(f"process.sigma_min={self.sigma_min} must be less than sigma_max={self.sigma_max}.")

  def sigma(self, t):
    """Noise level at time t, in units of the [0, 1] box; exactly 0 at t = 0."""
    return jnp.where(t > 0, self.sigma_min * (self.sigma_max / self.sigma_min) ** t, 0.0)

  def time(self, sigma):
    """The time at which the noise level is `sigma`."""
    return jnp.log(sigma / self.sigma_min) / np.log(self.sigma_max / self.sigma_min)

  def prior(self, key, shape):
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)

  def log_prior(self, x):
    return jnp.full_like(x, -jnp.log(2.0))

  def to_normal(self, x):
    return box_to_normal(x)

  def from_normal(self, w):
    return normal_to_box(w)

  def corrupt(self, key, x0, t):
    """Draws x_t given x0 [batch, frames, *shape]; the target is eps* / a(sigma)."""
    sigma = per_frame(self.sigma(t), x0)
    u0 = (x0 + 1) / 2
    u = fold(u0 + sigma * jax.random.normal(key, x0.shape))
    level = jnp.maximum(sigma, self.sigma_min)
    target = -level * kernel_score(u, u0, level) / noise_rms(level)
    return Corruption(2 * u - 1, jax.lax.stop_gradient(target))

  def _scaled_noise(self, output, x_t, sigma):
    """(u - O) / min(sigma, .4), the estimate of eps* / a(sigma)."""
    return (x_t - output) / 2 / jnp.clip(sigma, self.sigma_min, _SIGMA_CAP)

  def residual(self, output, corruption, t):
    """Error of eps* / a(sigma) per element, scaled down below sigma = .05."""
    sigma = per_frame(self.sigma(t), output)
    error = self._scaled_noise(output, corruption.x_t, sigma) - corruption.target
    return jnp.minimum(1.0, sigma / 0.05) * error

  def loss(self, output, corruption, t):
    """Denoising score matching: the residual squared."""
    return jnp.square(self.residual(output, corruption, t))

  def score(self, output, x_t, t):
    """The score, in units of the [0, 1] box."""
    sigma = jnp.maximum(per_frame(self.sigma(t), x_t), self.sigma_min)
    return -noise_rms(sigma) * self._scaled_noise(output, x_t, sigma) / sigma

  def output_for_score(self, score, x_t, t):
    """The network output that represents `score`: the inverse of the method `score`."""
    sigma = jnp.maximum(per_frame(self.sigma(t), x_t), self.sigma_min)
    return x_t + 2 * jnp.minimum(sigma, _SIGMA_CAP) * sigma * score / noise_rms(sigma)

  def output_for(self, x0, x_t, t):
    """The output that represents the score of the kernel from x0, which is the exact score if x0 is known."""
    sigma = jnp.maximum(per_frame(self.sigma(t), x_t), self.sigma_min)
    return self.output_for_score(kernel_score((x_t + 1) / 2, (x0 + 1) / 2, sigma), x_t, t)

  def denoised(self, output, x_t, t):
    """fold(u + sigma^2 s): posterior mean of the image charge; equal to E[x0 | x_t] only as sigma -> 0."""
    sigma = per_frame(self.sigma(t), x_t)
    return fold_box(x_t + 2 * jnp.square(sigma) * self.score(output, x_t, t))

  def clock(self, t):
    """The noise level sigma(t), because then an Euler step of the ODE to t = 0 returns `denoised`."""
    return self.sigma(t)

  def velocity(self, output, x_t, t):
    """dx/dsigma of the probability-flow ODE du/dsigma = -sigma s."""
    return -2 * per_frame(self.sigma(t), x_t) * self.score(output, x_t, t)

  def project(self, x):
    return fold_box(x)

  def _levels(self, x_t, t, s):
    """(sigma_t, sigma_s, sigma_t^2 - sigma_s^2), which broadcast against `x_t`."""
    sigma_t, sigma_s = per_frame(self.sigma(t), x_t), per_frame(self.sigma(s), x_t)
    return sigma_t, sigma_s, jnp.maximum(jnp.square(sigma_t) - jnp.square(sigma_s), 0.0)

  def step(self, noise, output, x_t, t, s):
    """One ancestral step from t to s < t, reflected at the walls; to s = 0 without noise, and clipped."""
    mean, std = self.transition(output, x_t, t, s, 1.0)
    return jnp.where(std > 0, fold_box(mean + std * noise), jnp.clip(mean, -1.0, 1.0))

  def transition(self, output, x_t, t, s, eta):
    """Mean and scale of a step of the reverse SDE with `eta` times its noise, before reflection.

    du = -(1 + eta^2) / 2 score d(sigma^2) + eta dw has the same marginals for every eta: eta = 0 is the ODE
    and eta = 1 the SDE that `step` solves.
    """
    sigma_t, sigma_s, q = self._levels(x_t, t, s)
    mean = x_t + (1 + eta**2) * q * self.score(output, x_t, t)
    scale = 2 * eta * jnp.sqrt(q) * sigma_s / jnp.maximum(sigma_t, self.sigma_min)
    return mean, jnp.broadcast_to(scale, mean.shape)

  def bridge(self, key, x0, x_t, t, s, eta):
    """Draws x_s given x_t and x0, on the unfolded line.

    Let x_t = fold(v) with v ~ N(u_0, sigma_t^2). Given x_t and x0, v is one of the points u_t + 2k and -u_t +
    2k, with probability proportional to its Gaussian density. Its noise (v - u_0) / sigma_t is N(0, 1). The
    share r^2 = eta^2 (1 - sigma_s^2 / sigma_t^2) of it is replaced, and the result is folded. For eta = 1
    this is the Brownian bridge from u_0 to v, folded: the bridge of reflected Brownian motion.
    """
    key_image, key_noise = jax.random.split(key)
    sigma_t, sigma_s, q = self._levels(x_t, t, s)
    u0, u = (x0 + 1) / 2, (x_t + 1) / 2
    shifts = 2 * jnp.arange(-_UNFOLDED, _UNFOLDED + 1, dtype=u.dtype)
    images = jnp.concatenate([u[..., None] + shifts, shifts - u[..., None]], -1)
    level = jnp.maximum(sigma_t, self.sigma_min)
    noises = (images - u0[..., None]) / level[..., None]
    which = jax.random.categorical(key_image, -jnp.square(noises) / 2)
    old = jnp.take_along_axis(noises, which[..., None], -1)[..., 0]
    share = eta * jnp.sqrt(q) / level
    new = jnp.sqrt(1 - jnp.square(share)) * old + share * jax.random.normal(key_noise, u.shape, u.dtype)
    return 2 * fold(u0 + sigma_s * new) - 1

  def coordinate(self, x0):
    """See `TeleportingProcess`; the cosines cos(pi u_0)."""
    return jnp.cos(jnp.pi * (x0 + 1) / 2)

  def teleport(self, moments, x, t, s):
    """See `TeleportingProcess`; to second order in exp(-pi^2 sigma^2 / 2)."""
    return 2 * reflected_teleport(moments, (x + 1) / 2, self.sigma(t), self.sigma(s)) - 1
