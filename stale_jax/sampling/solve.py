"""Solving the reverse process step by step, in memory that does not depend on the number of steps."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from stale_jax.clip import Clip, Context, Sense
from stale_jax.mesh import constrain_batch
from stale_jax.processes import Process
from stale_jax.sampling.solvers import Denoiser, Reverse, Solver, Switch, fitting_solver, frame_keys


def prior(process: Process, senses: tuple[Sense, ...], frames: int, keys: Key[Array, "batch"]) -> Clip:
  """Draws `len(keys)` clips at time 1, each example and frame from its own key."""

  def draw(sense):
    keys_of_frames = frame_keys(keys, sense.name, 0, frames)
    return jax.vmap(jax.vmap(lambda key: process.prior(key, sense.shape)))(keys_of_frames)

  return {sense.name: constrain_batch(draw(sense)) for sense in senses}


def beginning(drawn: Clip, initial: Clip | None, given: int = 0) -> Clip:
  """The clip at time 1: `initial` in its frames, which follow `given` frames, and else the draw `drawn`."""
  if initial is None:
    return drawn

  def one(x, noise):
    noise = noise[:, : x.shape[1] - given]
    return jnp.concatenate([x[:, :given], noise, x[:, given + noise.shape[1] :]], 1)

  return {name: one(x, initial[name]) for name, x in drawn.items()}


def solve(
  process: Process,
  denoiser: Denoiser,
  x: Clip,
  times: Float[Array, "grid batch frames"],
  context: Context,
  keys: Key[Array, "batch"],
  solver: str = "euler",
  callback: Callable[[Array, Clip], None] | None = None,
  steps: int | Int[Array, ""] | None = None,
) -> Clip:
  """Solves the reverse process for `x` from times[0] to times[-1].

  Args:
    process, denoiser, times, context, keys: see `Reverse`.
    x: the clip at times[0].
    solver: a key of SOLVERS.
    callback: called on the host with (index of a step, the clip after this step).
    steps: number of steps to take; None for all. As an array, it lets one program serve any number of steps.

  Raises:
    UserError: the solver is unknown or cannot be used with the process.
  """
  reverse = Reverse(process=process, denoiser=denoiser, times=times, context=context, keys=keys)
  chosen = fitting_solver(solver, process)

  def body(reverse, step, state):
    state = chosen.step(reverse, step, state)
    if callback is not None:
      jax.debug.callback(callback, step, chosen.finalize(state), ordered=True)
    return state

  count = len(times) - 1 if steps is None else steps
  return chosen.finalize(_loop(denoiser, reverse, chosen, count, body, chosen.initialize(reverse, x)))


def last_step(
  process: Process,
  denoiser: Denoiser,
  x: Clip,
  times: Float[Array, "grid batch frames"],
  context: Context,
  keys: Key[Array, "batch"],
  solver: str = "euler",
  steps: int | Int[Array, ""] | None = None,
) -> tuple[Clip, Clip]:
  """The clips before and after the last step that `solve` would take; see `solve` for the arguments."""
  reverse = Reverse(process=process, denoiser=denoiser, times=times, context=context, keys=keys)
  chosen = fitting_solver(solver, process)

  def body(reverse, step, carry):
    _, state = carry
    return chosen.finalize(state), chosen.step(reverse, step, state)

  count = len(times) - 1 if steps is None else steps
  before, state = _loop(denoiser, reverse, chosen, count, body, (x, chosen.initialize(reverse, x)))
  return before, chosen.finalize(state)


@functools.singledispatch
def _loop(denoiser: Denoiser, reverse: Reverse, solver: Solver, count, body: Callable, carry: Any) -> Any:
  """Applies `body(reverse, step, carry)` to steps 0 to `count` - 1 and returns the last carry.

  `denoiser` is `reverse.denoiser`; its type selects the implementation.
  """
  return jax.lax.fori_loop(0, count, lambda step, carry: body(reverse, step, carry), carry)


@_loop.register
def _(switch: Switch, reverse: Reverse, solver: Solver, count, body: Callable, carry: Any) -> Any:
  """Runs consecutive steps that evaluate the same denoiser of the switch as one loop.

  XLA hoists loop-invariant computations out of such a loop. If each step contained the branch, XLA would
  repeat these computations in every step.
  """
  inside, there = switch.inside(reverse.times), switch.there
  if solver.looks_ahead:  # A step needs `there` if its start or its end is inside.
    inside, there = inside | jnp.roll(inside, -1), switch

  def run(side: bool):
    side_reverse = dataclasses.replace(reverse, denoiser=there if side else switch.elsewhere)

    def goes_on(numbered):
      step, _ = numbered
      return (step < count) & (inside[step] == side)

    def advance(numbered):
      step, carry = numbered
      return step + 1, body(side_reverse, step, carry)

    return lambda numbered: jax.lax.while_loop(goes_on, advance, numbered)

  def turn(numbered):
    return jax.lax.cond(inside[numbered[0]], run(True), run(False), numbered)

  return jax.lax.while_loop(lambda numbered: numbered[0] < count, turn, (jnp.int32(0), carry))[1]
