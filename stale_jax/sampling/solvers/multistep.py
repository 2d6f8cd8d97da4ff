"""The exponential multistep solver in x0."""

import dataclasses

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stale_jax.clip import Clip
from stale_jax.processes import Process
from stale_jax.processes.process import MixingProcess, Times, per_frame
from stale_jax.sampling.solvers.solver import Reverse

_LOG_SCALE = 0.2**2  # c^2; see `Multistep`.


@flax.struct.dataclass
class MultistepState:
  """The state of `Multistep`.

  Attributes:
    x: the clip.
    t: the time of each frame at the start of its previous step, [batch, frames].
    clean: the estimate of x0 at that time.
  """

  x: Clip
  t: Float[Array, "batch frames"]
  clean: Clip


def along_ode(process: MixingProcess, x: Array, clean: Array, t: Times, s: Times) -> Array:
  """The exact solution of the ODE from t to s if x0 is `clean` during the whole step, in the range of x."""
  (alpha_t, sigma_t), (alpha_s, sigma_s) = process.coefficients(t), process.coefficients(s)
  ratio = sigma_s / jnp.where(sigma_t > 0, sigma_t, 1.0)
  gain = alpha_s - alpha_t * ratio
  return process.project(per_frame(ratio, x) * x + per_frame(gain, x) * clean)


@dataclasses.dataclass(frozen=True)
class Multistep:
  """Exponential multistep solver in x0: second order with one evaluation per step.

  As in DPM-Solver++(2M) (Lu et al., arXiv 2211.01095, Alg. 2), the linear part of the ODE is solved exactly,

    x_s / sigma_s = x_t / sigma_t + integral from t to s of x0 d(alpha / sigma),

  which holds for every process with x_t = alpha x0 + sigma e, Gaussian or not, and x0 is extrapolated from
  its estimates at this step and at the previous one. The first step of a frame and its step to s = 0 use the
  current estimate alone.

  The interpolation variable differs. The paper extrapolates linearly in the log-SNR, which is infinite at
  both ends: k steps from an end of the grid, the local error is O(1 / (k N^2)), and the errors of N steps add
  up to O(log(N) / N^2). The variable here is log(c^2 + tau^2), where tau = sigma / (alpha + sigma) is the
  time of the rectified flow on the same path, and the mean of the variable over a step is taken to be its
  value at tau^2 = tau_t tau_s. For c = 0 this is the paper's rule with log(tau) for the log-SNR.

  Why it is of second order for every c > 0: with y = x / (alpha + sigma), x0 = y - tau dy/dtau. Where y is
  smooth up to tau = 0, x0 is y(0) - tau^2 y''(0) / 2 + O(tau^3) near the data, that is, linear in tau^2; and
  d(alpha / sigma) = -dtau / tau^2, so the mean of tau^2 over a step is exactly tau_t tau_s. At larger tau the
  logarithm follows the scale on which x0 changes. c = .2 was chosen for its error at 32 steps on the mixture
  of the tests; for EDM, c = infinity (tau^2 itself) has twice that error.

  The order is 2 over the whole grid from t = 1 to t = 0, for any shift. The two first-order steps do not
  lower it: their local error is O(1 / N^2), and each is taken once. Limits, measured in
  `tests/sampling/test_multistep.py`:

  - The order is asymptotic. With shift 6 the last step starts at about 6 / N; until that is less than the
    width of the narrowest mode, no solver shows its order (for modes of width .06, N must exceed about 256).
  - Where y is not smooth, no solver of this kind is of second order at all points. Under uniform noise, data
    with a density that does not vanish at the walls make trajectories that leave the wall like sqrt(tau): the
    median error has order 2, the root mean square about 1.7 and the largest about 1. Heun's has the same.
  - If the network's x0 at t = 0 is not x_t, the ODE is singular there. The order of Euler, Heun and this
    solver is then the same, and can be below 1.
  """

  looks_ahead = False

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return process.mixes_noise

  def initialize(self, reverse: Reverse, x: Clip) -> MultistepState:
    """See `Solver`."""
    return MultistepState(x=x, t=reverse.times[0], clean=x)

  def step(self, reverse: Reverse, step: Int[Array, ""], state: MultistepState) -> MultistepState:
    """See `Solver`."""
    process, x, (t, s) = reverse.process, state.x, reverse.between(step)
    output = reverse.evaluate(x, t)
    weight = self.weight(process, state.t, t, s)
    clean = {name: process.denoised(output[name], x[name], t) for name in x}

    def one(name):
      like = x[name]
      target = process.project(clean[name] + per_frame(weight, like) * (clean[name] - state.clean[name]))
      return jnp.where(per_frame(s < t, like), self.advance(reverse, step, name, like, target), like)

    # A frame whose time does not decrease in this step keeps the estimate of its own previous step.
    memory = {name: jnp.where(per_frame(s < t, x[name]), clean[name], state.clean[name]) for name in x}
    return MultistepState(x={name: one(name) for name in x}, t=jnp.where(s < t, t, state.t), clean=memory)

  def weight(self, process: Process, last: Times, t: Times, s: Times) -> Times:
    """The factor of (x0 at t - x0 at last) in the extrapolation of x0; 0 where the step is of first order."""
    tau_last, tau_t, tau_s = (
      sigma / (alpha + sigma) for alpha, sigma in map(process.coefficients, (last, t, s))
    )
    # With z(w) = log(c^2 + w): z(tau_t tau_s) - z(tau_t^2) and z(tau_last^2) - z(tau_t^2), by log1p.
    ahead = jnp.log1p(tau_t * (tau_s - tau_t) / (_LOG_SCALE + jnp.square(tau_t)))
    behind = jnp.log1p((tau_last - tau_t) * (tau_last + tau_t) / (_LOG_SCALE + jnp.square(tau_t)))
    has_memory = (last > t) & (s > 0)
    return jnp.where(has_memory, -ahead / jnp.where(has_memory, behind, 1.0), 0.0)

  def advance(self, reverse: Reverse, step: Int[Array, ""], name: str, x: Array, target: Array) -> Array:
    """One sense at the end of the step if x0 were `target` during the whole step."""
    return along_ode(reverse.process, x, target, *reverse.between(step))

  def finalize(self, state: MultistepState) -> Clip:
    """See `Solver`."""
    return state.x
