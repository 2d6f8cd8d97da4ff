"""Solvers of the reverse process: Euler, Heun and multistep along its ODE, ancestral and consistency steps.

A solver is a frozen object of three functions. `initialize` makes the state before the first step, which
carries what the solver remembers; `step` takes one step; `finalize` gives the clip. What does not change from
step to step is one object, `Reverse`. A frame whose time does not fall in a step stays as it is, to the bit.
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

# (clip, times [batch, frames], context) -> the network's outputs, in the shapes of the clip.
Denoiser = Callable[[Clip, Float[Array, "batch frames"], Context], Clip]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switch:
  """A denoiser that evaluates one of two others, depending on the times.

  Attributes:
    inside: times [batch, frames] -> whether `there` has to be evaluated.
    there, elsewhere: the two. `there` is correct at all times, but costs more.
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
    process: the noising law.
    denoiser: the network, guided or not.
    times: of the steps, [steps + 1, batch, frames]; they never rise.
    context: what the denoiser is told.
    keys: one per example, [batch]; the noise of an example depends on nothing else.
  """

  process: Process
  denoiser: Denoiser
  times: Float[Array, "grid batch frames"]
  context: Context
  keys: Key[Array, "batch"]

  def between(self, step: Int[Array, ""]) -> tuple[Array, Array]:
    """The times that a step begins and ends at."""
    return self.times[step], self.times[step + 1]

  def evaluate(self, x: Clip, t: Float[Array, "batch frames"]) -> Clip:
    """The denoiser's outputs."""
    return self.denoiser(x, t, self.context)

  def noise_keys(self, name: str, step: Int[Array, ""]) -> Key[Array, "batch frames"]:
    """The keys of a sense's fresh noise in a step, [batch, frames]."""
    return frame_keys(self.keys, name, step + 1, self.times.shape[2])


def frame_keys(
  keys: Key[Array, "batch"], name: str, step: int | Int[Array, ""], frames: int
) -> Key[Array, "batch {frames}"]:
  """One key per example and frame, [batch, frames], whatever else is in the batch."""
  own = fold_keys(named_keys(keys, name), step)
  return jax.vmap(lambda key: jax.vmap(lambda frame: jax.random.fold_in(key, frame))(jnp.arange(frames)))(own)


@runtime_checkable
class Solver(Protocol):
  """How a reverse process is solved.

  Attributes:
    looks_ahead: whether a step also evaluates the denoiser at the times that it ends at.
  """

  looks_ahead: ClassVar[bool]

  def fits(self, process: Process) -> bool:
    """Whether the process has what the solver asks of it."""

  def initialize(self, reverse: Reverse, x: Clip) -> Any:
    """The state before the first step, from a clip at the first times."""

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Any) -> Any:
    """The state after that step."""

  def finalize(self, state: Any) -> Clip:
    """The clip of a state."""


def _move(process: Process, x, velocity, t, s):
  moved = x + per_frame(process.clock(s) - process.clock(t), x) * velocity
  return jnp.where(per_frame(s < t, x), process.project(moved), x)


@dataclasses.dataclass(frozen=True)
class Euler:
  """Euler steps of the probability-flow ODE; the state is the clip."""

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
  """Second order, two evaluations per step (Karras et al., arXiv 2206.00364, Alg. 1); Euler's step to s =
  0."""

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
  """Steps of the process itself, with fresh noise where it has any."""

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
  """x0 as it is estimated now, brought to s by fresh noise (Song et al., arXiv 2303.01469, Alg. 1).

  For students whose x0 is a sample, not a mean (`training/steps/self_forcing.py`). It needs nothing but
  `Process.corrupt`.
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


@flax.struct.dataclass
class MultistepState:
  """What `Multistep` carries.

  Attributes:
    x: the clip.
    t: the time of each frame before its last step.
    clean: x0 as it was estimated then.
  """

  x: Clip
  t: Float[Array, "batch frames"]
  clean: Clip


@dataclasses.dataclass(frozen=True)
class Multistep:
  """DPM-Solver++(2M) (Lu et al., arXiv 2211.01095, Alg. 2): second order at one evaluation per step.

  x_s / sigma_s = x_t / sigma_t + integral of x0 d(alpha / sigma) is exact for every process with
  x_t = alpha x0 + sigma e, Gaussian or not. x0 is extrapolated from the estimates of this step and the step
  before, linearly in log(alpha / sigma), to the middle of the step. A frame's first step and its step to
  s = 0 take x0 as it is estimated now.
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
    levels = [process.coefficients(time) for time in (state.t, t, s)]
    last, here, there = (jnp.log(alpha) - jnp.log(sigma) for alpha, sigma in levels)
    _, (alpha_t, sigma_t), (alpha_s, sigma_s) = levels
    output = reverse.evaluate(x, t)
    # Infinite or not a number at the ends of time and where nothing is remembered.
    share = (there - here) / (here - last) / 2
    share = jnp.where(jnp.isfinite(share), share, 0.0)
    ratio = sigma_s / jnp.where(sigma_t > 0, sigma_t, 1.0)
    gain = alpha_s - alpha_t * ratio
    clean = {name: process.denoised(output[name], x[name], t) for name in x}

    def one(name):
      like = x[name]
      w, r, g = (per_frame(c, like) for c in (share, ratio, gain))
      target = process.project(clean[name] + w * (clean[name] - state.clean[name]))
      return jnp.where(per_frame(s < t, like), process.project(r * like + g * target), like)

    # A frame that waits keeps what it remembers.
    kept = {name: jnp.where(per_frame(s < t, x[name]), clean[name], state.clean[name]) for name in x}
    return MultistepState(x={name: one(name) for name in x}, t=jnp.where(s < t, t, state.t), clean=kept)

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
  """The solver of that name.

  Raises:
    UserError: there is none, or it asks for what the process does not have.
  """
  if name not in SOLVERS:
    raise UserError(f"unknown solver {name!r}: {nearest(name, SOLVERS)}")
  if not SOLVERS[name].fits(process):
    others = " or ".join(repr(other) for other in ("heun", "ancestral") if SOLVERS[other].fits(process))
    raise UserError(f"solver={name!r} does not fit {type(process).__name__}: use solver={others}.")
  return SOLVERS[name]
