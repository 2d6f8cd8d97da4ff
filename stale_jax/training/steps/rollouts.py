"""Rollouts within a training step, with the programs of generation (`sampling.Causal`).

Each chunk of a movie is denoised up to an *exit step*, as in generation. The denoised estimate of that step
becomes the chunk, and later chunks attend to its keys and values. This rollout has no gradient. It stores the
input of each exit step and the cache that the step attended to. Afterwards only the exit steps are repeated
with gradient, so the memory does not depend on the exit step.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PRNGKeyArray

from stale_jax.clip import Clip, Context
from stale_jax.errors import UserError
from stale_jax.models.kv_cache import KVCache
from stale_jax.processes import fold_keys
from stale_jax.sampling import Causal, causal_programs
from stale_jax.sampling.guiding import Guidance, guiding_of
from stale_jax.system import System


@flax.struct.dataclass
class Exits:
  """The exit steps of several chunks; the first axis of each array is the chunk.

  Attributes:
    x: the noised inputs of the exit steps.
    cache: the caches that the exit steps attended to.
    clip: the resulting chunks.
  """

  x: Clip
  cache: KVCache
  clip: Clip


def exit_times(times: Array, step: int | Int[Array, ""]) -> Array:
  """The time grid of samples that exit at `step`: unchanged up to it, then 0."""
  index = jnp.arange(len(times))[:, None, None]
  return jnp.where(index <= step, times, 0.0)


def leave(programs: Causal, params, x: Clip, cache: KVCache, t, context: Context) -> Clip:
  """The denoised estimate of `x`: the result of an exit step at times `t`.

  The gradient ignores that estimates are clipped to [-1, 1] (a straight-through estimator). Otherwise an
  estimate outside [-1, 1] would have gradient 0, so training could never move it back inside.
  """
  output = programs.model.apply(params, x, t, context, cache)
  clean = {name: programs.process.denoised(output[name], x[name], t) for name in x}
  return {name: o + jax.lax.stop_gradient(clean[name] - o) for name, o in output.items()}


def roll(
  programs: Causal,
  params,
  times: Array,
  step: Int[Array, ""],
  context: Context,
  noise: Array,
  keys: Key[Array, "batch"],
  start: Int[Array, ""] | None,
  chunks: int,
) -> tuple[Exits, KVCache]:
  """Rolls out movies without gradient, and records the exit steps of a window of chunks.

  Args:
    programs, params: the student's programs and parameters.
    times: the time grid of a chunk, [steps+1, batch, frames of a chunk].
    step: the exit step of all chunks.
    context: captions of the movies.
    noise: the time of frames in the cache; see `Causal.keep`.
    keys: one PRNG key per movie.
    start: first chunk of the window; None means the start of the movies.
    chunks: number of chunks in the window.

  Returns:
    The exit steps of the window, and the cache after it.
  """
  grid = exit_times(times, step)

  def add_chunk(cache, number):
    chunk_keys = fold_keys(keys, number)
    x, clip = programs.make(params, cache, grid, context, chunk_keys, step + 1)
    new_cache = programs.keep(params, cache, clip, context, noise, fold_keys(chunk_keys, 1))
    return new_cache, Exits(x, cache, clip)

  cache = programs.start(params, times, context, keys)
  if start is not None:
    cache = jax.lax.fori_loop(0, start, lambda number, cache: add_chunk(cache, number)[0], cache)
  cache, exits = jax.lax.scan(add_chunk, cache, (0 if start is None else start) + jnp.arange(chunks))
  return exits, cache


def taken_again(programs: Causal, params, exits: Exits, t: Array, context: Context) -> Clip:
  """Repeats the exit steps with gradient.

  Args:
    programs, params: the student's programs and parameters.
    exits: the exit steps that `roll` recorded.
    t: times of the exit steps, [batch, frames of a chunk].
    context: captions of the movies.

  Returns:
    The frames of the window as a differentiable function of `params`: [batch, chunks * frames, *shape].
  """
  exits = jax.lax.stop_gradient(exits)

  def exit_step(_, chunk):
    return None, leave(programs, params, chunk.x, chunk.cache, t, context)

  return joined(jax.lax.scan(exit_step, None, exits)[1])


def movies(
  programs: Causal,
  params,
  times,
  context: Context,
  noise,
  keys: Key[Array, "batch"],
  chunks: int,
  guidance: Guidance,
) -> Clip:
  """Samples one movie per key, of `chunks` chunks, as generation does.

  Args:
    programs, params: the programs and the parameters of the model.
    times: the time grid of a chunk, [steps+1, batch, frames of a chunk].
    context: captions of the movies.
    noise: the time of frames in the cache; see `Causal.keep`.
    keys: one PRNG key per movie.
    chunks: number of chunks.
    guidance: scale and interval of guidance.

  Returns:
    sense -> [movies, chunks * frames of a chunk, *shape].
  """

  def add_chunk(cache, number):
    chunk_keys, here = fold_keys(keys, number), guidance.part(number * times.shape[-1], times.shape[-1])
    clip, cache = programs.advance(
      params, cache, times, context, noise, chunk_keys, here.scale, here.interval, len(times) - 1
    )
    return cache, clip

  return joined(jax.lax.scan(add_chunk, programs.start(params, times, context, keys), jnp.arange(chunks))[1])


def joined(chunks: Clip) -> Clip:
  """Joins chunks, [chunks, batch, frames, ...], to clips, [batch, chunks * frames, ...]."""

  def join(x):
    x = jnp.moveaxis(x, 0, 1)
    return jnp.reshape(x, (x.shape[0], -1, *x.shape[3:]))

  return jax.tree.map(join, chunks)


def window_start(key: PRNGKeyArray, chunks: int, window: int) -> Int[Array, ""]:
  """Draws the first chunk of a window of `window` chunks uniformly, in a movie of `chunks` chunks."""
  return jax.random.randint(key, (), 0, chunks - window + 1)


def rollout_programs(system: System, guided: bool) -> Causal:
  """Builds the programs of a rollout of `system`, as in generation; `guided`: classifier-free guidance."""
  diffusion = system.diffusion
  return causal_programs(
    system.network,
    diffusion.process,
    system.data.senses,
    diffusion.rollout,
    system.data.source.frames,
    diffusion.sampling.solver,
    guiding=guiding_of(diffusion.sampling, diffusion.process, system.network) if guided else None,
  )


def rollout_grid(system: System, batch: int) -> tuple[Array, Array]:
  """The time grid of a chunk and the time of frames in the cache, exactly as in generation.

  They are computed outside the traced step, so that they are bitwise equal to those of generation.

  Returns:
    Times [steps+1, batch, frames of a chunk], and the time of cached frames [batch].
  """
  rollout, sampling = system.diffusion.rollout, system.diffusion.sampling
  times = dataclasses.replace(sampling, batch=batch).times(rollout.chunk, system.data.senses)
  return times, jnp.full(batch, rollout.noise, jnp.float32)


def check_rollout(system: System, section: str, *others: tuple[str, int]) -> None:
  """Raises UserError if the model or the rollout settings do not allow rollouts within training.

  Args:
    system: the system to train.
    section: section of the config that selects the kind of training.
    others: (key of the config, its value), for keys that set a number of frames; each number must be a
      multiple of `rollout.chunk`, like `source.frames`.
  """
  if not system.diffusion.causal:
    raise UserError(f"{section}: the model must be causal; set model.causal and times.independent.")
  rollout = system.diffusion.rollout
  if rollout.how != "causal":
    raise UserError(f"{section}: training uses the rollout of generation; set rollout.how='causal'.")
  for name, frames in (("source.frames", system.data.source.frames), *others):
    if frames % rollout.chunk:
      raise UserError(f"{section}: {name}={frames} is not a multiple of rollout.chunk={rollout.chunk}.")
