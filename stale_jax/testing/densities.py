"""Distributions whose scores and posterior means are known exactly, to check samplers against."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import kstest, norm

from stale_jax.clip import Clip, Context
from stale_jax.processes import Process, Reflected, UniformFlow
from stale_jax.processes.gaussian import Gaussian
from stale_jax.processes.process import per_frame
from stale_jax.processes.reflected import kernel_score, log_kernel
from stale_jax.sampling import Denoiser


def _of(process: Process, exact: dict[type, Callable]) -> Callable:
  """Selects the entry of `exact` for the class of `process`, or for its nearest base class.

  Raises:
    NotImplementedError: there is no such entry.
  """
  for cls in type(process).__mro__:
    if cls in exact:
      return exact[cls]
  raise NotImplementedError(f"there is no closed form for the process {type(process).__name__}.")


@dataclasses.dataclass(frozen=True)
class FoldedMixture:
  """A mixture of Gaussians on the line, folded into [0, 1] by reflection at both ends.

  The noise of `Reflected` only widens the Gaussians, so the score is known exactly at every noise level. The
  default has two narrow modes, one of which is close to 0.

  Attributes:
    means, sds, weights: mean, standard deviation and weight of each Gaussian before folding.
  """

  means: tuple[float, ...] = (0.03, 0.40, 0.90)
  sds: tuple[float, ...] = (0.03, 0.03, 0.08)
  weights: tuple[float, ...] = (0.3, 0.4, 0.3)

  def _images(self) -> Float[np.ndarray, "modes images"]:
    """Means of the Gaussians whose sum is the folded density."""
    means, shifts = np.array(self.means)[:, None], 2 * np.arange(-4, 5)
    return np.concatenate([means + shifts, -means + shifts], -1)

  def density(self, u: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Density on [0, 1], in float64."""
    sds, weights = np.array(self.sds)[:, None], np.array(self.weights)[:, None]
    return (weights * norm.pdf(u[:, None, None], self._images(), sds)).sum((1, 2))

  def cdf(self, u: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Cumulative distribution on [0, 1], in float64."""
    sds, weights, means = np.array(self.sds)[:, None], np.array(self.weights)[:, None], self._images()
    below = norm.cdf(u[:, None, None], means, sds) - norm.cdf(0, means, sds)
    return (weights * below).sum((1, 2))

  def noised_density(self, x: Float[np.ndarray, "n"], process: Process, t: float) -> Float[np.ndarray, "n"]:
    """Density of x_t on [-1, 1] at time t under Reflected or UniformFlow, in float64.

    Raises:
      NotImplementedError: for any other process.
    """
    density = _of(process, {Reflected: self._reflected_density, UniformFlow: self._uniform_density})
    return density(x, process, t)

  def _reflected_density(self, x, process, t):
    sds = np.hypot(np.array(self.sds), float(process.sigma(t)))
    return dataclasses.replace(self, sds=tuple(sds)).density((x + 1) / 2) / 2

  def _uniform_density(self, x, process, t):
    del process
    low, high = (np.clip(((x + side * t) / (1 - t) + 1) / 2, 0, 1) for side in (-1, 1))
    return (self.cdf(high) - self.cdf(low)) / (2 * t)

  def ks(self, u: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of samples `u` in [0, 1] to this distribution."""
    u = np.sort(np.asarray(u, np.float64).ravel())
    cdf, n = self.cdf(u), len(u)
    return float(max(np.max(cdf - np.arange(n) / n), np.max(np.arange(1, n + 1) / n - cdf)))

  def wasserstein(self, u: np.ndarray) -> float:
    """First Wasserstein distance of samples `u` in [0, 1] to this distribution."""
    grid = np.linspace(0, 1, 20001)
    empirical = np.searchsorted(np.sort(np.asarray(u).ravel()), grid, side="right") / np.size(u)
    return float(np.trapezoid(np.abs(empirical - self.cdf(grid)), grid))

  def score(self, u: Array, sigma: Array) -> Array:
    """Score d/du log density after reflected noise of standard deviation `sigma`; arguments broadcast."""
    u, sigma = jnp.broadcast_arrays(u, sigma)
    sd = jnp.sqrt(jnp.square(sigma[..., None]) + jnp.square(jnp.array(self.sds)))[..., None]
    offset = u[..., None, None] - jnp.asarray(self._images(), u.dtype)
    logits = -0.5 * jnp.square(offset / sd) - jnp.log(sd) + jnp.log(jnp.array(self.weights))[:, None]
    weight = jax.nn.softmax(logits.reshape(*u.shape, -1), -1).reshape(logits.shape)
    return -jnp.sum(weight * offset / jnp.square(sd), (-2, -1))

  def denoiser(self, process: Process) -> Denoiser:
    """The exact denoiser of `process` for clips with independent values 2u - 1; u has this distribution.

    Raises:
      NotImplementedError: for a process other than Reflected and UniformFlow.
    """
    one = _of(process, {Reflected: self._reflected, UniformFlow: self._uniform})(process)

    def denoiser(clip: Clip, t, context: Context) -> Clip:
      del context
      return {name: one(x, t) for name, x in clip.items()}

    return denoiser

  def _reflected(self, process: Reflected) -> Callable[[Array, Array], Array]:
    def one(x, t):
      sigma = jnp.maximum(per_frame(process.sigma(t), x), process.sigma_min)
      return process.output_for_score(self.score((x + 1) / 2, sigma), x, t)

    return one

  def _uniform(self, process: UniformFlow) -> Callable[[Array, Array], Array]:
    """Given x_t, x0 has this distribution, truncated to the values from which x_t can be reached."""
    del process
    grid = np.linspace(0, 1, 2**16 + 1)
    middle = (grid[1:] + grid[:-1]) / 2
    mass = np.append(0, np.cumsum(self.density(middle) * np.diff(grid)))
    moment = np.append(0, np.cumsum(self.density(middle) * middle * np.diff(grid)))

    def one(x, t):
      t = per_frame(t, x)
      scale = jnp.maximum(1 - t, 1e-9)
      ends = [jnp.clip(((x + side * t) / scale + 1) / 2, 0, 1) for side in (-1, 1)]
      (f0, f1), (g0, g1) = ([jnp.interp(end, grid, table) for end in ends] for table in (mass, moment))
      inside = f1 - f0
      mean = jnp.where(inside > 1e-13, (g1 - g0) / jnp.maximum(inside, 1e-13), sum(ends) / 2)
      return 2 * mean - 1

    return one


@dataclasses.dataclass(frozen=True)
class GaussianMixture:
  """A mixture of Gaussians on the line, practically inside [-1, 1], for processes with Gaussian noise.

  Attributes:
    means, sds, weights: mean, standard deviation and weight of each Gaussian.
  """

  means: tuple[float, ...] = (-0.6, 0.1, 0.5)
  sds: tuple[float, ...] = (0.06, 0.10, 0.08)
  weights: tuple[float, ...] = (0.3, 0.4, 0.3)

  def ks(self, x: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of samples `x` to this distribution."""
    return float(kstest(np.ravel(x), lambda x: norm.cdf(x[:, None], self.means, self.sds) @ self.weights)[0])

  def denoiser(self, process: Gaussian) -> Denoiser:
    """The exact denoiser of `process` for clips whose values are independent samples of this distribution."""
    means, sds, weights = map(np.array, (self.means, self.sds, self.weights))

    def one(x, t):
      alpha, sigma = (c[..., None] for c in process.coefficients(per_frame(t, x)))
      variance = jnp.square(alpha * sds) + jnp.square(sigma)
      offset = x[..., None] - alpha * means
      logits = -0.5 * jnp.square(offset) / variance - 0.5 * jnp.log(variance) + np.log(weights)
      return jnp.sum(jax.nn.softmax(logits) * (means + alpha * sds**2 / variance * offset), -1)

    def denoiser(clip: Clip, t, context: Context) -> Clip:
      del context
      return {name: one(x, t) for name, x in clip.items()}

    return denoiser


def empirical_denoiser(process: Reflected, data: Float[Array, "n values"]) -> Denoiser:
  """The exact denoiser of `process` for frames that are drawn from the rows of `data`, in [-1, 1].

  It is the optimum that a network could reach only by memorising the data.
  """
  y = (jnp.asarray(data) + 1) / 2

  def one(u, sigma):
    logits = jnp.sum(log_kernel(u, y, sigma), -1)
    return jax.nn.softmax(logits) @ kernel_score(u, y, sigma)

  def denoiser(clip: Clip, t, context: Context) -> Clip:
    del context

    def each(x):
      sigma = jnp.maximum(process.sigma(t), process.sigma_min)
      score = jax.vmap(jax.vmap(one))((x + 1) / 2, sigma)
      return process.output_for_score(score, x, t)

    return {name: each(x) for name, x in clip.items()}

  return denoiser
