"""DPM-Solver++(2M) and its stochastic form, SDE-DPM-Solver++(2M) (Lu et al., arXiv 2211.01095).

Both agree with diffusers' `DPMSolverMultistepScheduler` on the same noise levels (solver_order=2,
solver_type="midpoint", final_sigmas_type="zero").
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from stale_jax.processes import Process
from stale_jax.processes.process import MixingProcess, Times, per_frame
from stale_jax.sampling.solvers.multistep import Multistep
from stale_jax.sampling.solvers.solver import Reverse


def half_log_snr(process: MixingProcess, t: Times) -> Times:
  """log(alpha / sigma); a coefficient that is 0 counts as 1, so that the result is finite."""
  alpha, sigma = process.coefficients(t)
  return jnp.log(jnp.where(alpha > 0, alpha, 1.0)) - jnp.log(jnp.where(sigma > 0, sigma, 1.0))


def has_slope(process: MixingProcess, last: Times, t: Times) -> Bool[Array, "batch frames"]:
  """Whether x0 at `last` and at `t` determine a slope of x0 in the half log-SNR.

  They do not if the frame has not moved since `last`, or if `last` is pure noise (alpha = 0), where the half
  log-SNR is infinite and the slope 0.
  """
  return (last > t) & (process.coefficients(last)[0] > 0)


@dataclasses.dataclass(frozen=True)
class Dpm2M(Multistep):
  """DPM-Solver++(2M) (Lu et al., arXiv 2211.01095, Alg. 2): second order, one evaluation per step.

  It is `Multistep` with the paper's interpolation variable, the half log-SNR lambda = log(alpha / sigma): x0
  is extrapolated to the middle of the step, by half the step's length divided by that of the previous step.
  The first step of a frame and its step to s = 0 are of first order. A step after one from pure noise
  (lambda = -infinity) is of first order too, which is the limit of the formula.
  """

  def weight(self, process: Process, last: Times, t: Times, s: Times) -> Times:
    """See `Multistep`."""
    usable = has_slope(process, last, t) & (s > 0)
    before, now, after = (half_log_snr(process, time) for time in (last, t, s))
    return jnp.where(usable, 0.5 * (after - now) / jnp.where(usable, now - before, 1.0), 0.0)


@dataclasses.dataclass(frozen=True)
class Dpm2MSde(Dpm2M):
  """SDE-DPM-Solver++(2M) (Lu et al., arXiv 2211.01095, app. B): `Dpm2M` for the reverse SDE.

  If x0 is constant during a step of length h in the half log-SNR, the SDE has the exact solution

    x_s = (sigma_s / sigma_t) e^-h x_t + alpha_s (1 - e^-2h) x0 + sigma_s sqrt(1 - e^-2h) noise,

  with fresh noise, which is the ancestral step (`Gaussian.step`). x0 is extrapolated as in `Dpm2M`. For
  Gaussian processes only.
  """

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return process.mixes_noise and process.draws_noise

  def advance(self, reverse: Reverse, step: Int[Array, ""], name: str, x: Array, target: Array) -> Array:
    """See `Multistep`."""
    noise = reverse.noise(name, step, x)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = map(reverse.process.coefficients, reverse.between(step))
    ratio = sigma_s / jnp.where(sigma_t > 0, sigma_t, 1.0)
    decay = ratio * alpha_t / jnp.where(alpha_s > 0, alpha_s, 1.0)  # e^-h
    fresh = jnp.maximum(1 - jnp.square(decay), 0.0)  # Of frames that stay at their time, it may be below 0.
    factors = ratio * decay, alpha_s * fresh, sigma_s * jnp.sqrt(fresh)
    r, g, n = (per_frame(c, x) for c in factors)
    return reverse.process.project(r * x + g * target + n * noise)
