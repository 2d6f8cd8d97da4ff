"""The stream batch: consecutive chunks of a movie at different noise levels, denoised in one call.

A movie of n steps per chunk needs n evaluations of the network per chunk. StreamDiffusion (arXiv 2312.12491)
makes them one batch: in each *tick* the network is evaluated once, on n rows. Row 0 is the chunk that has
just entered, at the first noise level; row i is the chunk that entered i ticks ago, at level i. The last row
leaves as its estimate of x0; the estimates of the others are noised to their next level, as in consistency
sampling. A tick emits one chunk, and a chunk leaves n - 1 ticks after it has entered.

Chunks see earlier ones through KV caches, one per level (StreamDiffusionV2, arXiv 2511.07399). A row at level
i sees earlier chunks as they were at level i: in the tick in which it is evaluated, no estimate of the chunk
before it is cleaner than one level further. Models that were trained with a separate time for each frame know
such pasts.

All functions are pure. The state has constant size. The noise of a chunk depends on the key of its stream,
its number and its level alone, so neither ticks nor neighbours change a chunk: run through the same program
one chunk at a time, a movie has the same bits.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from stale_jax.clip import Clip, Context, Sense
from stale_jax.compilation import OnMesh, compiled
from stale_jax.errors import UserError
from stale_jax.models.kv_cache import KVCache, empty_cache, push, refresh_sinks
from stale_jax.processes import Process, corrupt, fold_keys
from stale_jax.processes.interpolant import anchored
from stale_jax.processes.process import per_frame

# When the network is evaluated without the caption, for guidance. "always": at every level (classifier-free
# guidance, arXiv 2207.12598): 2n rows per chunk. "once": at the first level; its estimate of x0 is the anchor
# of residual guidance at all levels: n + 1 rows. "never": the anchor is the source of video-to-video: n rows.
NEGATIVES = ("always", "once", "never")


@flax.struct.dataclass
class Rows:
  """The chunks in flight, [levels, streams, ...].

  Attributes:
    x: noised chunks, sense -> [levels, streams, chunk, *shape].
    anchor: anchors of residual guidance, in the same shapes.
    context: the conditioning of each chunk, with its captions encoded.
    number: index of the chunk in its stream; -1: the row is empty.
    scale: factor on the times of the levels.
    begins: whether the chunk starts anew and sees no earlier chunk.
  """

  x: Clip
  anchor: Clip
  context: Context
  number: Int[Array, "levels streams"]
  scale: Float[Array, "levels streams"]
  begins: Bool[Array, "levels streams"]


@flax.struct.dataclass
class StreamState:
  """Everything that a stream batch remembers; a pytree of arrays that can be saved and moved.

  Attributes:
    rows: the chunks in flight; row 0 is empty between ticks.
    cache: KV caches of all rows, level by level, then those of the evaluations without caption.
    keys: one PRNG key per stream.
    count: number of chunks that have entered each stream.
  """

  rows: Rows
  cache: KVCache
  keys: Key[Array, "streams"]
  count: Int[Array, "streams"]


@flax.struct.dataclass
class Entering:
  """What enters in one tick.

  Attributes:
    which: streams that take a new chunk.
    begins: streams in which the new chunk starts anew; the first chunk of a stream always does.
    context: captions, encoded, and micro-conditions of the new chunks.
    source: chunks to start from, sense -> [streams, chunk, *shape]; None for text-to-video.
    scale: factor on the times of the levels, at most 1; with less noise, the chunk stays closer to its
      source.
  """

  which: Bool[Array, "streams"]
  begins: Bool[Array, "streams"]
  context: Context
  source: Clip | None
  scale: Float[Array, "streams"]


@flax.struct.dataclass
class Emitted:
  """What leaves in one tick.

  Attributes:
    clip: sense -> [streams, chunk, *shape].
    number: index of the chunk in its stream; -1: no chunk leaves this stream.
  """

  clip: Clip
  number: Int[Array, "streams"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamBatch:
  """The programs of a stream batch.

  Attributes:
    model: a causal network that does not scan over its blocks.
    process: the process that it was trained with.
    senses: the senses of its clips.
    levels: the times of the noise levels, decreasing, the first at most 1.
    chunk: frames of a chunk.
    room: capacity of a KV cache, in frames.
    sinks: number of first frames that stay in the caches.
    refresh: a sink is replaced by a new frame if its keys and values are less similar to the frame's than
      this cosine (`kv_cache.refresh_sinks`); -1: never.
    negative: one of NEGATIVES; None: no guidance.
    interval: smallest and largest time with guidance.
  """

  model: Any
  process: Process
  senses: tuple[Sense, ...]
  levels: tuple[float, ...]
  chunk: int
  room: int
  sinks: int = 0
  refresh: float = -1.0
  negative: str | None = None
  interval: tuple[float, float] = (0.0, 1.0)

  @property
  def negatives(self) -> int:
    """Number of levels at which the network is also evaluated without the caption."""
    return {None: 0, "always": len(self.levels), "once": 1, "never": 0}[self.negative]

  @property
  def _patch(self) -> dict[str, int]:
    return {sense.name: sense.patch[0] for sense in self.senses}

  def start(self, params, context: Context, keys: Key[Array, "streams"]) -> StreamState:
    """The state before the first tick, with one stream per key.

    Args:
      params: parameters of the network.
      context: any context for as many streams, with encoded captions; it determines the shapes.
      keys: one per stream.
    """
    depth, streams = len(self.levels), len(keys)

    def blank(x):
      return jnp.zeros((depth, *x.shape), x.dtype)

    clip = {
      sense.name: jax.ShapeDtypeStruct((streams, self.chunk, *sense.shape), jnp.float32)
      for sense in self.senses
    }
    rows = Rows(
      x=jax.tree.map(blank, clip),
      anchor=jax.tree.map(blank, clip),
      context=jax.tree.map(blank, context.replace(independent_senses=jnp.zeros(streams, bool))),
      number=jnp.full((depth, streams), -1, jnp.int32),
      scale=jnp.ones((depth, streams), jnp.float32),
      begins=jnp.zeros((depth, streams), bool),
    )
    cache = jax.eval_shape(
      lambda params, rows: empty_cache(self._evaluate(params, rows, None)[1], self._patch, self.room),
      params,
      rows,
    )
    cache = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), cache)
    return StreamState(rows=rows, cache=cache, keys=keys, count=jnp.zeros(streams, jnp.int32))

  def reset(
    self, state: StreamState, which: Bool[Array, "streams"], keys: Key[Array, "streams"]
  ) -> StreamState:
    """Begins new streams, with the PRNG keys `keys`, in place of those in `which`."""
    number = jnp.where(which, -1, state.rows.number)
    return state.replace(
      rows=state.rows.replace(number=number),
      keys=jnp.where(which, keys, state.keys),
      count=jnp.where(which, 0, state.count),
    )

  def tick(
    self, params, state: StreamState, entering: Entering, scale: Float[Array, ""]
  ) -> tuple[StreamState, Emitted]:
    """Evaluates the network once and moves every chunk to its next level.

    Args:
      params: parameters of the network.
      state: the state after the previous tick.
      entering: what enters.
      scale: scale of guidance; not used without guidance.
    """
    rows = self.enter(state, entering)
    cache = self.begin(rows, state.cache)
    outputs, new = self._evaluate(params, rows, cache)
    cache = self.remember(rows, cache, new)
    rows, emitted = self.leave(rows, outputs, state.keys, scale)
    count = state.count + entering.which.astype(jnp.int32)
    return state.replace(rows=rows, cache=cache, count=count), emitted

  def begin(self, rows: Rows, cache: KVCache) -> KVCache:
    """The caches, emptied for the chunks that start anew."""
    begins = self._per_evaluation((rows.number >= 0) & rows.begins)
    return cache.replace(frames=jnp.where(begins, 0, cache.frames))

  def remember(self, rows: Rows, cache: KVCache, new) -> KVCache:
    """The caches with the keys and values of the chunks, of all blocks or of some."""
    which = self._per_evaluation(rows.number >= 0)
    if self.refresh > -1:
      cache = refresh_sinks(cache, new, self._patch, self.sinks, self.refresh, which)
    return push(cache, new, self._patch, self.sinks, which=which)

  def leave(self, rows: Rows, outputs: Clip, keys, scale) -> tuple[Rows, Emitted]:
    """(the rows at their next levels, what leaves) from the network's outputs."""
    rows, clean = self._estimate(rows, outputs, scale)
    emitted = Emitted(clip={name: x[-1] for name, x in clean.items()}, number=rows.number[-1])
    return self._advance(rows, clean, keys), emitted

  def _per_evaluation(self, x: Bool[Array, "levels streams"]) -> Bool[Array, "rows"]:
    """One value for each row of an evaluation, those without caption last."""
    return jnp.concatenate([x, x[: self.negatives]]).ravel()

  def _times(self, rows: Rows) -> Float[Array, "levels streams chunk"]:
    times = jnp.asarray(self.levels, jnp.float32)[:, None] * rows.scale
    return jnp.broadcast_to(times[..., None], (*times.shape, self.chunk))

  def enter(self, state: StreamState, entering: Entering) -> Rows:
    """The rows with the new chunks in row 0: their sources, noised to the first level."""
    first = jnp.broadcast_to((self.levels[0] * entering.scale)[:, None], (len(state.keys), self.chunk))
    source = entering.source
    if source is None:  # At time 1 nothing of the source is left.
      source = {name: jnp.zeros(x.shape[1:], x.dtype) for name, x in state.rows.x.items()}
    noised = corrupt(self.process, source, first, _noise_keys(state.keys, state.count, 0))
    number = jnp.where(entering.which, state.count, -1)
    row = Rows(
      x={name: c.x_t for name, c in noised.items()},
      anchor=source,
      context=entering.context.replace(independent_senses=jnp.zeros(len(number), bool)),
      number=number,
      scale=entering.scale,
      begins=entering.begins | (state.count == 0),
    )
    return jax.tree.map(lambda all_rows, new: all_rows.at[0].set(new), state.rows, row)

  def _evaluate(self, params, rows: Rows, cache: KVCache | None):
    """Evaluates the network on all rows, then without caption on the first `negatives` levels.

    Returns:
      (outputs, sense -> [(levels + negatives) * streams, chunk, *shape]; new keys and values).
    """
    outputs, sown = self.model.apply(params, *self.inputs(rows), cache, mutable=["kv"])
    new = tuple({block: kinds[kind][0] for block, kinds in sown["kv"].items()} for kind in ("keys", "values"))
    return outputs, new

  def inputs(self, rows: Rows) -> tuple[Clip, Float[Array, "rows chunk"], Context]:
    """Noised clips, times and contexts of an evaluation, those without caption last."""
    inputs = rows.x, self._times(rows), rows.context
    x, t, context = jax.tree.map(_flat, inputs)
    if self.negatives:
      x_u, t_u, context_u = jax.tree.map(lambda x: _flat(x[: self.negatives]), inputs)
      context_u = context_u.drop_condition(jnp.ones(len(t_u), bool))
      every, negative = (x, t, context), (x_u, t_u, context_u)
      x, t, context = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), every, negative)
    return x, t, context

  def _estimate(self, rows: Rows, outputs: Clip, scale) -> tuple[Rows, Clip]:
    """(the rows, with the anchors of the first level; the estimates of x0, with guidance)."""
    levels, streams = rows.number.shape
    t, anchors, clean = _flat(self._times(rows)), dict(rows.anchor), {}
    is_guided = (self.interval[0] <= t) & (t <= self.interval[1])
    for name, x in rows.x.items():
      output, without = jnp.split(outputs[name], [levels * streams])
      if self.negative == "once":
        anchor = self.process.denoised(without, x[0], t[:streams])
        anchors[name] = anchors[name].at[0].set(anchor)
      if self.negative is not None:
        other = without if self.negative == "always" else _flat(anchors[name])
        output = jnp.where(per_frame(is_guided, output), anchored(output, other, scale), output)
      clean[name] = jnp.reshape(self.process.denoised(output, _flat(x), t), x.shape)
    return rows.replace(anchor=anchors), clean

  def _advance(self, rows: Rows, clean: Clip, keys) -> Rows:
    """Noises the estimates to their next level and moves all rows down by one; row 0 becomes empty."""
    down = jax.tree.map(lambda x: jnp.roll(x, 1, 0), rows)
    # All levels in one draw: on the CPU, each draw costs as much as ten small operations.
    before, after = (jnp.asarray(part, jnp.float32) for part in (self.levels[:-1], self.levels[1:]))
    times = (after / before)[:, None, None] * self._times(rows)[:-1]
    own = jax.vmap(functools.partial(_noise_keys, keys))(rows.number[:-1], jnp.arange(1, len(self.levels)))
    noised = corrupt(
      self.process, {name: _flat(x[:-1]) for name, x in clean.items()}, _flat(times), _flat(own)
    )
    x = {name: jnp.concatenate([x[:1], noised[name].x_t.reshape(x[1:].shape)]) for name, x in rows.x.items()}
    return down.replace(x=x, number=down.number.at[0].set(-1))


def _flat(x: Array) -> Array:
  """Levels and streams as one batch axis."""
  return jnp.reshape(x, (-1, *x.shape[2:]))


def _noise_keys(keys: Key[Array, "streams"], number: Int[Array, "streams"], level: int | Int[Array, ""]):
  """The keys of the noise of one chunk per stream at one level."""
  return fold_keys(jax.vmap(jax.random.fold_in)(keys, jnp.maximum(number, 0)), level)


@functools.cache
def ticking() -> OnMesh:
  """`StreamBatch.tick`, compiled once per stream batch and number of streams; its state is donated."""
  return OnMesh(StreamBatch.tick, static_argnums=0, donate_argnums=2)


def caption_encoder(network) -> Callable[[Any, Context], Context]:
  """(params, context) -> the context with its captions encoded, compiled once per network."""
  return functools.partial(compiled(type(network).encode_captions), network)


def stream_batch(
  network,
  process: Process,
  senses: tuple[Sense, ...],
  *,
  levels: tuple[float, ...],
  chunk: int,
  window: int,
  sinks: int = 0,
  refresh: float = -1.0,
  negative: str | None = None,
  interval: tuple[float, float] = (0.0, 1.0),
) -> StreamBatch:
  """Builds a stream batch.

  Args:
    network: a causal network.
    process, senses: parts of the model.
    window: largest number of frames that attention sees, including those of the chunk.
    levels, chunk, sinks, refresh, negative, interval: see `StreamBatch`.

  Raises:
    UserError: guidance by residuals does not suit the process.
  """
  if negative in ("once", "never") and not process.mixes_noise:
    raise UserError(
      f"rollout.negative={negative!r} needs a process that mixes data with noise, not "
      f"{type(process).__name__}: use 'always'."
    )
  return StreamBatch(
    model=network.clone(scan=False),
    process=process,
    senses=senses,
    levels=levels,
    chunk=chunk,
    room=window - chunk,
    sinks=sinks,
    refresh=refresh,
    negative=negative,
    interval=interval,
  )
