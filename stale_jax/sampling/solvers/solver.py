"""The protocol of solvers, and what a solver is given: the denoiser and the reverse process.

A solver is a frozen object. `fits` says whether it suits a process, `initialize` builds the state before the
first step, `step` takes one step, and `finalize` extracts the clip from the state. `Reverse` holds everything
that is the same in all steps. A frame whose time does not decrease in a step is returned unchanged, bit for
bit.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from stale_jax.clip import Clip, Context
from stale_jax.processes import Process, fold_keys, named_keys

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

  def noise(self, name: str, step: Int[Array, ""], x: Array) -> Array:
    """Fresh standard-normal noise of one sense in one step, with the shape and dtype of `x`."""
    draw = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, x.shape[2:], x.dtype)))
    return draw(self.noise_keys(name, step))


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


class Memoryless:
  """The parts of a `Solver` whose state is the clip."""

  def initialize(self, reverse: Reverse, x: Clip) -> Clip:
    """See `Solver`."""
    return x

  def finalize(self, state: Clip) -> Clip:
    """See `Solver`."""
    return state
