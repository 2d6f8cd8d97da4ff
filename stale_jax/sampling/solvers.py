"""Solvers of the reverse process: Euler, Heun and multistep for its ODE; ancestral and consistency steps.

A solver is a frozen object. `fits` says whether it suits a process, `initialize` builds the state before the
first step, `step` takes one step, and `finalize` extracts the clip from the state. `Reverse` holds everything
that is the same in all steps. A frame whose time does not decrease in a step is returned unchanged, bit for
bit.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from stale_jax.clip import Clip, Context
from stale_jax.construct import nearest
from stale_jax.errors import UserError
from stale_jax.processes import Process, corrupt_array, fold_keys, named_keys
from stale_jax.processes.process import per_frame

# (clip, times [batch, frames], context) -> the network's outputs, with the shapes of the clip.
Denoiser = Callable[[Clip, Float[Array, "batch frames"], Context], Clip]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switch:
  """A denoiser that evaluates one of two denoisers, depending on the times.

  Attributes:
    inside: times [batch, frames] -> whether `there` must be evaluated.
    there: correct at all times, but more expensive.
    elsewhere: correct only where `inside` is False.
  """

  inside: Callable[[Float[Array, "... batch frames"]], Bool[Array, "..."]]
  there: Denoiser
  elsewhere: Denoiser

  def __call__(self, clip: Clip, t: Float[Array, "batch frames"], context: Context) -> Clip:
    return jax.lax.cond(self.inside(t), self.there, self.elsewhere, clip, t, context)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reverse:
  """A reverse process to solve.

  Attributes:
    process: the noising process.
    denoiser: the network, with or without guidance.
    times: the time grid, [steps + 1, batch, frames]; it never increases.
    context: the conditioning passed to the denoiser.
    keys: one per example, [batch]. The noise of an example depends only on its key.
  """

  process: Process
  denoiser: Denoiser
  times: Float[Array, "grid batch frames"]
  context: Context
  keys: Key[Array, "batch"]

  def between(self, step: Int[Array, ""]) -> tuple[Array, Array]:
    """The times at which a step begins and ends, each [batch, frames]."""
    return self.times[step], self.times[step + 1]

  def evaluate(self, x: Clip, t: Float[Array, "batch frames"]) -> Clip:
    """The denoiser's outputs at times `t`."""
    return self.denoiser(x, t, self.context)

  def noise_keys(self, name: str, step: Int[Array, ""]) -> Key[Array, "batch frames"]:
    """The keys of the fresh noise of one sense in one step, [batch, frames]."""
    return frame_keys(self.keys, name, step + 1, self.times.shape[2])


def frame_keys(
  keys: Key[Array, "batch"], name: str, step: int | Int[Array, ""], frames: int
) -> Key[Array, "batch {frames}"]:
  """One key per example and frame, [batch, frames]; a key does not depend on the rest of the batch."""
  step_keys = fold_keys(named_keys(keys, name), step)
  fold_frames = jax.vmap(jax.random.fold_in, (None, 0))
  return jax.vmap(lambda key: fold_frames(key, jnp.arange(frames)))(step_keys)


@runtime_checkable
class Solver(Protocol):
  """A numerical method for the reverse process.

  Attributes:
    looks_ahead: whether a step also evaluates the denoiser at the times at which the step ends.
  """

  looks_ahead: ClassVar[bool]

  def fits(self, process: Process) -> bool:
    """Whether the solver can be used with `process`."""

  def initialize(self, reverse: Reverse, x: Clip) -> Any:
    """The state before the first step; `x` is the clip at the first times."""

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Any) -> Any:
    """The state after step number `step`."""

  def finalize(self, state: Any) -> Clip:
    """The clip in `state`."""


def _move(process: Process, x, velocity, t, s):
  moved = x + per_frame(process.clock(s) - process.clock(t), x) * velocity
  return jnp.where(per_frame(s < t, x), process.project(moved), x)


@dataclasses.dataclass(frozen=True)
class Euler:
  """Euler's method for the probability-flow ODE; first order. The state is the clip."""

  looks_ahead = False

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return process.has_flow

  def initialize(self, reverse: Reverse, x: Clip) -> Clip:
    """See `Solver`."""
    return x

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Clip) -> Clip:
    """See `Solver`."""
    process, x, (t, s) = reverse.process, state, reverse.between(step)
    output = reverse.evaluate(x, t)
    return {name: _move(process, x[name], process.velocity(output[name], x[name], t), t, s) for name in x}

  def finalize(self, state: Clip) -> Clip:
    """See `Solver`."""
    return state


@dataclasses.dataclass(frozen=True)
class Heun:
  """Heun's method for the probability-flow ODE in the variable `Process.clock`. The state is the clip.

  Second order, two evaluations per step. The step to s = 0 is an Euler step. There is no churn.

  For processes with x_t = alpha x0 + sigma e this is Algorithm 1 of Karras et al. (EDM, arXiv 2206.00364)
  with scale s = alpha, noise level sigma / alpha and `clock` as its time. It is not the sampler that the
  paper recommends, not even for `edm`. The paper takes s = 1 and the noise level itself as time, so that it
  averages two slopes of the unscaled x with respect to the level; for `edm` we average two slopes of the
  scaled x with respect to the angle atan(level). The methods have the same order and limit, but not the
  same steps. Here x0 is also clipped to the box, and the time grid differs (see `processes.EDM`). The
  paper's Algorithm 2, with churn, is not implemented.
  """

  looks_ahead = True

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return process.has_flow

  def initialize(self, reverse: Reverse, x: Clip) -> Clip:
    """See `Solver`."""
    return x

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Clip) -> Clip:
    """See `Solver`."""
    process, x, (t, s) = reverse.process, state, reverse.between(step)
    output = reverse.evaluate(x, t)
    first = {name: process.velocity(output[name], x[name], t) for name in x}
    there = {name: _move(process, x[name], first[name], t, s) for name in x}
    output = reverse.evaluate(there, s)

    def correct(name):
      second = process.velocity(output[name], there[name], s)
      mean = _move(process, x[name], (first[name] + second) / 2, t, s)
      return jnp.where(per_frame(s > 0, mean), mean, there[name])

    return {name: correct(name) for name in x}

  def finalize(self, state: Clip) -> Clip:
    """See `Solver`."""
    return state


@dataclasses.dataclass(frozen=True)
class Ancestral:
  """The reverse step `Process.step`, with fresh noise if `process.draws_noise`. The state is the clip."""

  looks_ahead = False

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return True

  def initialize(self, reverse: Reverse, x: Clip) -> Clip:
    """See `Solver`."""
    return x

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Clip) -> Clip:
    """See `Solver`."""
    x, (t, s) = state, reverse.between(step)
    output = reverse.evaluate(x, t)

    def one(name):
      draw = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, x[name].shape[2:], x[name].dtype)))
      noise = draw(reverse.noise_keys(name, step))
      moved = reverse.process.step(noise, output[name], x[name], t, s)
      return jnp.where(per_frame(s < t, moved), moved, x[name])

    return {name: one(name) for name in x}

  def finalize(self, state: Clip) -> Clip:
    """See `Solver`."""
    return state


@dataclasses.dataclass(frozen=True)
class Consistency:
  """Noises the current estimate of x0 to time s with fresh noise (Song et al., arXiv 2303.01469, Alg. 1).

  For distilled students whose x0 is a sample, not a mean (`training/steps/self_forcing.py`). It uses only
  `Process.denoised` and `Process.corrupt`, so it works with every process. The state is the clip.
  """

  looks_ahead = False

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return True

  def initialize(self, reverse: Reverse, x: Clip) -> Clip:
    """See `Solver`."""
    return x

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Clip) -> Clip:
    """See `Solver`."""
    process, x, (t, s) = reverse.process, state, reverse.between(step)
    output = reverse.evaluate(x, t)

    def one(name):
      clean = process.denoised(output[name], x[name], t)
      noised = corrupt_array(process, clean, s, reverse.noise_keys(name, step)).x_t
      return jnp.where(per_frame(s < t, clean), noised, x[name])

    return {name: one(name) for name in x}

  def finalize(self, state: Clip) -> Clip:
    """See `Solver`."""
    return state


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
    coefficients = [process.coefficients(time) for time in (state.t, t, s)]
    tau_last, tau_t, tau_s = (sigma / (alpha + sigma) for alpha, sigma in coefficients)
    _, (alpha_t, sigma_t), (alpha_s, sigma_s) = coefficients
    output = reverse.evaluate(x, t)
    # With z(w) = log(c^2 + w): z(tau_t tau_s) - z(tau_t^2) and z(tau_last^2) - z(tau_t^2), by log1p.
    ahead = jnp.log1p(tau_t * (tau_s - tau_t) / (_LOG_SCALE + jnp.square(tau_t)))
    behind = jnp.log1p((tau_last - tau_t) * (tau_last + tau_t) / (_LOG_SCALE + jnp.square(tau_t)))
    has_memory = (state.t > t) & (s > 0)
    weight = jnp.where(has_memory, -ahead / jnp.where(has_memory, behind, 1.0), 0.0)
    ratio = sigma_s / jnp.where(sigma_t > 0, sigma_t, 1.0)
    gain = alpha_s - alpha_t * ratio
    clean = {name: process.denoised(output[name], x[name], t) for name in x}

    def one(name):
      like = x[name]
      w, r, g = (per_frame(c, like) for c in (weight, ratio, gain))
      target = process.project(clean[name] + w * (clean[name] - state.clean[name]))
      return jnp.where(per_frame(s < t, like), process.project(r * like + g * target), like)

    # A frame whose time does not decrease in this step keeps the estimate of its own previous step.
    memory = {name: jnp.where(per_frame(s < t, x[name]), clean[name], state.clean[name]) for name in x}
    return MultistepState(x={name: one(name) for name in x}, t=jnp.where(s < t, t, state.t), clean=memory)

  def finalize(self, state: MultistepState) -> Clip:
    """See `Solver`."""
    return state.x


SOLVERS: dict[str, Solver] = {
  "euler": Euler(),
  "heun": Heun(),
  "ancestral": Ancestral(),
  "consistency": Consistency(),
  "multistep": Multistep(),
}


def fitting_solver(name: str, process: Process) -> Solver:
  """The solver with this name.

  Raises:
    UserError: the name is unknown, or the solver cannot be used with `process`.
  """
  if name not in SOLVERS:
    raise UserError(f"unknown solver {name!r}: {nearest(name, SOLVERS)}")
  if not SOLVERS[name].fits(process):
    others = " or ".join(repr(other) for other in ("heun", "ancestral") if SOLVERS[other].fits(process))
    raise UserError(f"solver={name!r} does not fit {type(process).__name__}: use solver={others}.")
  return SOLVERS[name]
