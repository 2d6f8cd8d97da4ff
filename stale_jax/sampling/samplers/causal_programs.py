"""The compiled programs of a causal rollout: they make the next frames from a KV cache, and update the cache.

The panels of a story are rolled out in parallel, each with its own cache. While a chunk is denoised, the
panels attend to one another (`sampling.story`).
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from stale_jax.clip import Clip, Context, Sense
from stale_jax.compilation import compiled
from stale_jax.errors import UserError
from stale_jax.models.kv_cache import KVCache, empty_cache, part_of, push
from stale_jax.processes import Process, fold_keys, named_keys
from stale_jax.sampling.guidance import both_halves
from stale_jax.sampling.guiding import Guiding, guided
from stale_jax.sampling.sample import renoise
from stale_jax.sampling.samplers.rollout import Rollout
from stale_jax.sampling.solve import beginning, last_step, prior
from stale_jax.sampling.solvers import Denoiser
from stale_jax.sampling.story import Story, consistent, tiled


@dataclasses.dataclass(frozen=True)
class Causal:
  """The programs of a causal rollout, compiled once per shape.

  Attributes:
    model: a causal network that does not scan over its blocks.
    process: the process that it was trained with.
    senses: the senses of its clips.
    solver: a key of `SOLVERS`.
    guiding: see `Guiding`; the cache then has both halves, the conditional one first. None: no guidance.
    room: capacity of the cache, in frames.
    sinks, sink_decay: see `Rollout`.
    story: settings of attention between the movies; None for independent movies.
  """

  model: object
  process: Process
  senses: tuple[Sense, ...]
  solver: str
  guiding: Guiding | None
  room: int
  sinks: int = 0
  sink_decay: float = 1.0
  story: Story | None = None

  def keep(
    self,
    params,
    cache: KVCache | None,
    clip: Clip,
    context: Context,
    noise: Float[Array, "batch"],
    keys: Key[Array, "batch"],
  ) -> KVCache:
    """Computes keys and values of `clip`, noised to the times `noise`, and appends them to the cache.

    If `cache` is None, they are appended to an empty cache. Returns the new cache.
    """
    clip, t = renoise(self.process, clip, noise, keys)
    if self.guiding is not None:
      clip, t, context = both_halves(clip, t, context)
    _, sown = self.model.apply(params, clip, t, context, cache, mutable=["kv"])
    new = tuple({block: kinds[kind][0] for block, kinds in sown["kv"].items()} for kind in ("keys", "values"))
    patch = {sense.name: sense.patch[0] for sense in self.senses}
    cache = empty_cache(new, patch, self.room) if cache is None else cache
    return push(cache, new, patch, self.sinks, self.sink_decay)

  def make(
    self, params, cache, times, context, keys, steps, scale=1.0, interval=(0.0, 1.0), initial=None
  ) -> tuple[Clip, Clip]:
    """Makes the next frames, and does not update the cache; see `advance` for the arguments.

    Returns:
      (the frames before the last of the `steps` solver steps, the frames after it).
    """
    movies = times.shape[1]

    def denoiser_of(rows: Int[Array, "tile"] | None) -> Denoiser:
      """The denoiser of the clips at batch indices `rows`; None selects the whole batch."""

      def of_network(network) -> Denoiser:
        def denoiser(clip, t, context, more_keys=None):
          # Guidance may evaluate one half of the batch alone: the unconditional half if `independent_senses`
          # is True, else the conditional half.
          half = 0 if context.independent_senses is None else context.independent_senses[0].astype(jnp.int32)
          seen = part_of(cache, movies, rows, len(t), half)
          return network.apply(params, clip, t, context, seen, more_keys)

        if self.story:
          return consistent(denoiser, self.story, times, named_keys(keys[0], "story"))
        return denoiser

      return guided(self.guiding, self.model, of_network, scale, interval)

    context = self.model.encode_captions(params, context)
    chosen = tiled(denoiser_of, self.story.tile, movies) if self.story else denoiser_of(None)
    x = beginning(prior(self.process, self.senses, times.shape[-1], keys), initial)
    return last_step(self.process, chosen, x, times, context, keys, self.solver, steps=steps)

  def advance(
    self,
    params,
    cache: KVCache,
    times: Float[Array, "grid batch frames"],
    context: Context,
    noise: Float[Array, "batch"],
    keys: Key[Array, "batch"],
    scale: Float[Array, "*frames"],
    interval: Float[Array, "2"],
    steps: int | Int[Array, ""],
    initial: Clip | None = None,
  ) -> tuple[Clip, KVCache]:
    """Makes the next frames by `steps` solver steps along `times`, and appends them to the cache.

    Args:
      params: parameters of the network.
      cache: keys and values of the past frames.
      times: time grid of a chunk, [steps + 1, batch, frames of a chunk].
      context: captions and micro-conditions.
      noise: times to which the new frames are noised before they are added to the cache.
      keys: one per movie, for the noise of this chunk.
      scale, interval: see `guidance.classifier_free`.
      steps: number of steps to take.
      initial: noise of the first of these frames, or of all; None for the prior.

    Returns:
      (the new frames, the new cache).
    """
    _, clip = self.make(params, cache, times, context, keys, steps, scale, interval, initial)
    return clip, self.keep(params, cache, clip, context, noise, fold_keys(keys, 1))

  def start(self, params, times, context: Context, keys: Key[Array, "batch"]) -> KVCache:
    """Returns an empty cache, with the shapes of the caches that `keep` returns."""
    x = jax.eval_shape(lambda keys: prior(self.process, self.senses, times.shape[-1], keys), keys)
    noise = jax.ShapeDtypeStruct((len(keys),), jnp.float32)
    cache = compiled(Causal.keep).eval_shape(self, params, None, x, context, noise, keys)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), cache)


def causal_programs(
  network,
  process: Process,
  senses: tuple[Sense, ...],
  settings: Rollout,
  frames: int,
  solver: str,
  guiding: Guiding | None,
  story: Story | None = None,
) -> Causal:
  """Builds the programs of a causal rollout, for generation and for training on rollouts.

  Args:
    network: a causal network.
    process, senses: parts of the model.
    settings: settings of the rollout.
    frames: number of frames of a training clip.
    solver, guiding, story: see `Causal`.

  Raises:
    UserError: the settings do not suit the number of frames or the patches of the senses.
  """
  window = settings.window or frames
  check_chunks(senses, settings.chunk, settings.sinks, window)
  return Causal(
    model=network.clone(scan=False, rope_jitter=settings.rope_jitter),
    process=process,
    senses=senses,
    solver=solver,
    guiding=guiding,
    room=window - settings.chunk,
    sinks=settings.sinks,
    sink_decay=settings.sink_decay,
    story=story,
  )


def check_chunks(senses: tuple[Sense, ...], chunk: int, sinks: int, window: int) -> None:
  """Raises UserError if a rollout cannot be divided into tokens, or its window has no room for the past."""
  for sense in senses:
    each = sense.patch[0]
    if chunk % each or sinks % each or window % each:
      raise UserError(
        f"rollout chunk={chunk}, sinks={sinks} and window={window} must be multiples of "
        f"{each}, the number of frames per token of {sense.name}."
      )
  if sinks + chunk >= window:
    raise UserError(
      f"rollout sinks={sinks} and chunk={chunk} fill the window of {window} frames; "
      "their sum must be less than the window."
    )
