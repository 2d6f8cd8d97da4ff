"""From the prior to a clip: Euler, Heun and multistep along the ODE, ancestral by the process's own steps.

And consistency, the few steps of a student that was distilled to take them.
"""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from stale_jax.clip import Clip, Context, Sense
from stale_jax.construct import nearest
from stale_jax.errors import UserError
from stale_jax.processes import Process
from stale_jax.processes.process import per_frame

# (clip, times [batch, frames], context) -> the network's outputs, in the shapes of the clip.
Denoiser = Callable[[Clip, Float[Array, "batch frames"], Context], Clip]


def _keys(keys: PRNGKeyArray, name: str, step, frames: int):
  """One key an example and frame, [batch, frames], whatever else is in the batch."""

  def one(key, frame):
    for number in (zlib.crc32(name.encode()), step, frame):
      key = jax.random.fold_in(key, number)
    return key

  return jax.vmap(lambda key: jax.vmap(lambda frame: one(key, frame))(jnp.arange(frames)))(keys)


def prior(process: Process, senses: tuple[Sense, ...], frames: int, keys: PRNGKeyArray) -> Clip:
  """Draws time 1 of `keys.shape[0]` clips, an example and frame at a time."""
  return {
    s.name: jax.vmap(jax.vmap(lambda key, shape=s.shape: process.prior(key, shape)))(
      _keys(keys, s.name, 0, frames)
    )
    for s in senses
  }


def _normal(keys: PRNGKeyArray, name: str, step, like: Array) -> Array:
  draw = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, like.shape[2:], like.dtype)))
  return draw(_keys(keys, name, step + 1, like.shape[1]))


def _move(process: Process, x, velocity, t, s):
  moved = x + per_frame(process.clock(s) - process.clock(t), x) * velocity
  # A frame that stays where it is in time is not touched at all.
  return jnp.where(per_frame(s < t, x), process.project(moved), x)


def euler(process: Process, denoiser: Denoiser, x: Clip, t, s, context: Context, keys, step, memory):
  """One Euler step of the probability-flow ODE from times t to s."""
  del keys, step
  output = denoiser(x, t, context)
  moved = {name: _move(process, x[name], process.velocity(output[name], x[name], t), t, s) for name in x}
  return moved, memory


def heun(process: Process, denoiser: Denoiser, x: Clip, t, s, context: Context, keys, step, memory):
  """One step of Heun's second order (Karras et al., arXiv 2206.00364, Alg. 1); Euler's where s is 0."""
  del keys, step
  output = denoiser(x, t, context)
  first = {name: process.velocity(output[name], x[name], t) for name in x}
  there = {name: _move(process, x[name], first[name], t, s) for name in x}
  output = denoiser(there, s, context)

  def correct(name):
    second = process.velocity(output[name], there[name], s)
    mean = _move(process, x[name], (first[name] + second) / 2, t, s)
    return jnp.where(per_frame(s > 0, mean), mean, there[name])

  return {name: correct(name) for name in x}, memory


def ancestral(process: Process, denoiser: Denoiser, x: Clip, t, s, context: Context, keys, step, memory):
  """One step of the process itself, with fresh noise where it has any."""
  output = denoiser(x, t, context)

  def one(name):
    moved = process.step(_normal(keys, name, step, x[name]), output[name], x[name], t, s)
    return jnp.where(per_frame(s < t, moved), moved, x[name])

  return {name: one(name) for name in x}, memory


def multistep(process: Process, denoiser: Denoiser, x: Clip, t, s, context: Context, keys, step, memory):
  """One step of DPM-Solver++(2M) (Lu et al., arXiv 2211.01095, Alg. 2): second order, one evaluation a step.

  x_s / sigma_s = x_t / sigma_t + integral of x0 d(alpha / sigma) is exact for every process with
  x_t = alpha x0 + sigma e, Gaussian or not. x0 is extrapolated from here and from the step before,
  linearly in log(alpha / sigma), to the middle of the step. A frame's first step and its step to
  s = 0 take x0 as it is here.
  """
  del keys, step
  before, estimates = memory
  levels = [process.coefficients(time) for time in (before, t, s)]
  last, here, there = (jnp.log(alpha) - jnp.log(sigma) for alpha, sigma in levels)
  _, (alpha_t, sigma_t), (alpha_s, sigma_s) = levels
  output = denoiser(x, t, context)
  # Infinite or not a number at the ends of time and where nothing is remembered.
  share = (there - here) / (here - last) / 2
  share = jnp.where(jnp.isfinite(share), share, 0.0)
  ratio = sigma_s / jnp.where(sigma_t > 0, sigma_t, 1.0)
  gain = alpha_s - alpha_t * ratio
  clean = {name: process.denoised(output[name], x[name], t) for name in x}

  def one(name):
    like = x[name]
    w, r, g = (per_frame(c, like) for c in (share, ratio, gain))
    target = process.project(clean[name] + w * (clean[name] - estimates[name]))
    return jnp.where(per_frame(s < t, like), process.project(r * like + g * target), like)

  # A frame that waits keeps what it remembers.
  kept = {name: jnp.where(per_frame(s < t, x[name]), clean[name], estimates[name]) for name in x}
  return {name: one(name) for name in x}, (jnp.where(s < t, t, before), kept)


def consistency(process: Process, denoiser: Denoiser, x: Clip, t, s, context: Context, keys, step, memory):
  """x0 as it is here, brought to s by fresh noise (Song et al., arXiv 2303.01469, Alg. 1).

  For students whose x0 is a sample and no mean (`training/steps/self_forcing.py`). Nothing asks how the noise
  is distributed: of any process this is `Process.corrupt`.
  """
  output = denoiser(x, t, context)

  def noised(key, x0, s):
    return process.corrupt(key, x0[None, None], s[None, None]).x_t[0, 0]

  def one(name):
    clean = process.denoised(output[name], x[name], t)
    drawn = _keys(keys, name, step + 1, s.shape[1])
    return jnp.where(per_frame(s < t, clean), jax.vmap(jax.vmap(noised))(drawn, clean, s), x[name])

  return {name: one(name) for name in x}, memory


class Solver(NamedTuple):
  """How one step is taken, and what is remembered of the steps before.

  Attributes:
    step: (process, denoiser, x, t, s, context, keys, step, memory) -> (x at s, memory).
    memory: (x, t) -> what is remembered before the first step; most need nothing, and carry nothing.
  """

  step: Callable
  memory: Callable = lambda x, t: ()


SOLVERS = {
  "euler": Solver(euler),
  "heun": Solver(heun),
  "ancestral": Solver(ancestral),
  "consistency": Solver(consistency),
  "multistep": Solver(multistep, memory=lambda x, t: (t, x)),
}


def solve(
  process: Process,
  denoiser: Denoiser,
  x: Clip,
  times: Float[Array, "steps+1 batch frames"],
  context: Context,
  keys: PRNGKeyArray,
  solver: str = "euler",
  callback: Callable[[Array, Clip], None] | None = None,
  steps: Int[Array, ""] | None = None,
) -> Clip:
  """Brings `x` from times[0] to times[-1] in constant memory.

  Args:
    process: whose velocity or step is taken.
    denoiser: the network, guided or not.
    x: the clip at times[0].
    times: never rising; frames where it does not fall stay as they are.
    context: for the denoiser.
    keys: one an example, [batch]; its noise depends on nothing else.
    solver: one of SOLVERS.
    callback: called on the host with (step, clip after it), for those who want the trajectory.
    steps: how many to take, if not all: one program then serves any number of them.

  Raises:
    UserError: an unknown solver, or one that the process has no use for.
  """
  advance = _stepper(process, denoiser, times, context, keys, solver)

  def body(step, carry):
    x, memory = advance(step, *carry)
    if callback is not None:
      jax.debug.callback(callback, step, x, ordered=True)
    return x, memory

  memory = SOLVERS[solver].memory(x, times[0])
  return jax.lax.fori_loop(0, len(times) - 1 if steps is None else steps, body, (x, memory))[0]


def last_step(
  process: Process,
  denoiser: Denoiser,
  x: Clip,
  times: Float[Array, "steps+1 batch frames"],
  context: Context,
  keys: PRNGKeyArray,
  solver: str = "euler",
  steps: Int[Array, ""] | None = None,
) -> tuple[Clip, Clip]:
  """The clip before the last step that `solve` takes, and after it; arguments as there."""
  advance = _stepper(process, denoiser, times, context, keys, solver)

  def body(step, carry):
    _, x, memory = carry
    return x, *advance(step, x, memory)

  memory = SOLVERS[solver].memory(x, times[0])
  return jax.lax.fori_loop(0, len(times) - 1 if steps is None else steps, body, (x, x, memory))[:2]


def _stepper(process: Process, denoiser: Denoiser, times, context: Context, keys, solver: str):
  """(step, x, memory) -> (x after it, memory); raises UserError if there is no such solver."""
  if solver not in SOLVERS:
    raise UserError(f"unknown solver {solver!r}: {nearest(solver, SOLVERS)}")

  def advance(step, x, memory):
    t, s = times[step], times[step + 1]
    return SOLVERS[solver].step(process, denoiser, x, t, s, context, keys, step, memory)

  return advance
