"""Rollouts within a training step, as generation makes them (`sampling.Causal`).

Each chunk of a movie is denoised up to an *exit step* as in generation, and what it then is taken for is
the chunk, whose keys and values later chunks see. That is without gradient. It keeps what the exit step began
with and the cache that it saw, so that the exit steps alone can be taken again with gradient: memory does not
depend on the exit step.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PRNGKeyArray

from stale_jax.clip import Clip, Context
from stale_jax.errors import UserError
from stale_jax.models.attention import check_cache
from stale_jax.models.kv_cache import KVCache
from stale_jax.processes import fold_keys
from stale_jax.sampling import Causal, causal_programs
from stale_jax.system import System


@flax.struct.dataclass
class Exits:
  """The exit steps of some chunks; the first axis of each array is the chunks'.

  Attributes:
    x: what they began with.
    cache: what they saw.
    clip: what they made of it.
  """

  x: Clip
  cache: KVCache
  clip: Clip


def exit_times(times: Array, step: Int[Array, ""]) -> Array:
  """The time grid of samples that exit at `step`: unchanged up to it, then 0."""
  index = jnp.arange(len(times))[:, None, None]
  return jnp.where(index <= step, times, 0.0)


def leave(programs: Causal, params, x: Clip, cache: KVCache, t, context: Context) -> Clip:
  """The denoised estimate of `x`, which is at times `t`.

  The gradient passes through the clipping to the box: otherwise a value that lies outside could never come
  back.
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
  """A window of `chunks` within movies, from chunk `start` on, without gradient; and the cache after it.

  Args:
    programs, params: of the student.
    times: [steps+1, batch, frames of a chunk].
    step: the exit step of all chunks.
    context: of the movies.
    noise: see `Causal.keep`.
    keys: one per movie.
    start: of the window; None: the start of the movies.
    chunks: in the window.
  """
  cut = exit_times(times, step)

  def before(number, cache):
    own = fold_keys(keys, number)
    _, clip = programs.make(params, cache, cut, context, own, step + 1)
    return programs.keep(params, cache, clip, context, noise, fold_keys(own, 1))

  def within(cache, number):
    own = fold_keys(keys, number)
    x, clip = programs.make(params, cache, cut, context, own, step + 1)
    return programs.keep(params, cache, clip, context, noise, fold_keys(own, 1)), Exits(x, cache, clip)

  cache = programs.start(params, times, context, keys)
  if start is not None:
    cache = jax.lax.fori_loop(0, start, before, cache)
  cache, exits = jax.lax.scan(within, cache, (0 if start is None else start) + jnp.arange(chunks))
  return exits, cache


def taken_again(programs: Causal, params, exits: Exits, t: Array, context: Context) -> Clip:
  """The window's frames, by its exit steps alone, with their gradient to `params`."""
  exits = jax.lax.stop_gradient(exits)

  def one(_, chunk):
    return None, leave(programs, params, chunk.x, chunk.cache, t, context)

  return joined(jax.lax.scan(one, None, exits)[1])


def movies(
  programs: Causal, params, times, context: Context, noise, keys: Key[Array, "batch"], chunks: int, guidance
) -> Clip:
  """One movie of `chunks` per key, as generation makes it."""

  def one(cache, number):
    own = fold_keys(keys, number)
    clip, cache = programs.advance(params, cache, times, context, noise, own, *guidance, len(times) - 1)
    return cache, clip

  return joined(jax.lax.scan(one, programs.start(params, times, context, keys), jnp.arange(chunks))[1])


def joined(chunks: Clip) -> Clip:
  """Chunks [chunks, batch, frames, ...] as clips [batch, chunks * frames, ...]."""

  def one(x):
    x = jnp.moveaxis(x, 0, 1)
    return jnp.reshape(x, (x.shape[0], -1, *x.shape[3:]))

  return jax.tree.map(one, chunks)


def window_start(key: PRNGKeyArray, chunks: int, window: int) -> Int[Array, ""]:
  """The first chunk of a window of `window` chunks in a movie of `chunks`, uniformly."""
  return jax.random.randint(key, (), 0, chunks - window + 1)


def rollout_programs(system: System, guided: bool) -> Causal:
  """The programs that generation rolls `system` out by; `guided`: with classifier-free guidance."""
  diffusion = system.diffusion
  return causal_programs(
    system.network,
    diffusion.process,
    system.data.senses,
    diffusion.rollout,
    system.data.source.frames,
    diffusion.sampling.solver,
    guided=guided,
  )


def rollout_grid(system: System, batch: int) -> tuple[Array, Array]:
  """(times [steps+1, batch, frames of a chunk], time of the kept frames [batch]), as generation has them.

  They are computed here and not while a step is traced, so that they have the very bits of generation's.
  """
  rollout, sampling = system.diffusion.rollout, system.diffusion.sampling
  times = dataclasses.replace(sampling, batch=batch).times(rollout.chunk)
  return times, jnp.full(batch, rollout.noise, jnp.float32)


def check_rollout(system: System, section: str, *others: tuple[str, int]) -> None:
  """Raises UserError if the training of `section` cannot make movies as generation does.

  Args:
    system: what is trained.
    section: of the config.
    others: (key, frames) of further movies that are made.
  """
  if not system.diffusion.causal:
    raise UserError(f"{section}: the model is causal; set model.causal and times.independent.")
  check_cache(system.network.attention)
  rollout = system.diffusion.rollout
  if rollout.how != "causal":
    raise UserError(f"{section}: training rolls out as generation does; set rollout.how='causal'.")
  for name, frames in (("source.frames", system.data.source.frames), *others):
    if frames % rollout.chunk:
      raise UserError(f"{section}: {name}={frames} is not a multiple of rollout.chunk.")
