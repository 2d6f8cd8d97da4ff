"""The device side of the server: one stream batch whose size follows the number of streams.

`tick` makes one chunk of every stream. A new stream gets a free slot, and the slot of a stream that has left
becomes free. The batch has the smallest compiled size that holds all streams; when the size changes, the
states of the streams move with it. After `warm`, nothing is compiled.

In the batch, the first chunk of a stream would leave after as many ticks as there are levels. `prime` makes
the first of these ticks for the stream alone, whenever there is time, and the next tick of the batch takes it
in with its chunks in flight.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, UInt32

from stale_jax.clip import Clip, Context
from stale_jax.mesh import on_host
from stale_jax.sampling.stream.batch import Entering, StreamBatch, StreamState, caption_encoder, ticking
from stale_jax.sampling.stream.schedule import CostTable, measure
from stale_jax.sampling.stream.slots import put_stream, take_streams
from stale_jax.system import System
from stale_jax.text import tokenize

_ENCODED = 64  # Encoded prompts that are kept.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """What a stream does in one tick.

  Attributes:
    prompt: the prompt of the chunk that enters.
    seed: seed of the stream.
    enters: whether a chunk enters.
    begins: whether this chunk sees no earlier one.
    source: the chunk to start from, sense -> [chunk, *shape]; None for text-to-video.
    scale: factor on the noise levels, below 1 for a source.
  """

  prompt: str
  seed: int
  enters: bool = True
  begins: bool = False
  source: dict[str, np.ndarray] | None = None
  scale: float = 1.0


@runtime_checkable
class Ticker(Protocol):
  """What `live.Live` needs of an engine.

  Attributes:
    depth: number of ticks until a chunk leaves.
    alone: seconds of `prime`.
  """

  depth: int
  alone: float

  def prime(self, name: str, row: Row) -> None:
    """See `Engine.prime`."""

  def tick(self, streams: Mapping[str, Row]) -> dict[str, tuple[int, Clip]]:
    """See `Engine.tick`."""


class Engine:
  """Ticks of a changing set of streams. Only one thread may use it.

  Args:
    system: parts of a causal model.
    params: its parameters.
    programs: the stream batch.
    guidance: scale of guidance.
    sources: whether chunks may have sources; costs a transfer of as much data as the chunks have.
  """

  def __init__(self, system: System, params, programs: StreamBatch, guidance: float, sources: bool = False):
    self.programs, self._params, self._network = programs, params, system.network
    self._guidance, self._has_sources = jnp.float32(guidance), sources
    self._encode = caption_encoder(system.network)
    self._encoded: collections.OrderedDict[str, Context] = collections.OrderedDict()
    self._slots: list[str | None] = []
    self._state: StreamState | None = None
    self._sizes: tuple[int, ...] = ()
    self._primed: dict[str, StreamState] = {}  # Streams of their own, which `tick` will take in.
    self.depth, self.alone = len(programs.levels), float("inf")

  def measure(self, sizes: Sequence[int], repeats: int = 10) -> CostTable:
    """Compiles and measures ticks of `sizes` streams, in steady state."""

    def make_tick(size: int) -> Callable[[], None]:
      state, rows = self._start(size), [_ROW] * size

      def tick() -> None:
        nonlocal state
        state, emitted = self._tick(state, rows)
        on_host(emitted.clip)

      return tick

    table = measure(make_tick, sizes, repeats)
    self.alone = table.seconds.get(1, self.alone)
    return table

  def warm(self, sizes: Sequence[int]) -> None:
    """Compiles everything that `tick` needs for batches of `sizes` streams, and starts with the smallest."""
    self._sizes = tuple(sorted(sizes))
    self._first = _begun(self.programs, self._start(1), np.zeros(1, bool), np.zeros(1, np.uint32))
    alone, _ = self._tick(_copied(self._first), [_ROW])
    for size, larger in zip(self._sizes, [*self._sizes[1:], None], strict=True):
      state = _begun(self.programs, self._start(size), np.zeros(size, bool), np.zeros(size, np.uint32))
      state, _ = self._tick(state, [_ROW] * size)
      state = _put(state, np.int32(0), alone)
      if larger is not None:
        _taken(state, np.zeros(larger, np.int32))
        _taken(self._start(larger), np.zeros(size, np.int32))
    self._state, self._slots = self._start(self._sizes[0]), [None] * self._sizes[0]

  def prime(self, name: str, row: Row) -> None:
    """Moves a stream by one level that `tick` has not seen yet, without the others; nothing leaves.

    Args:
      name: id of the stream.
      row: what it does. To be called at most `depth` - 1 times for each stream.
    """
    if name not in self._primed:
      self._primed[name] = _begun(
        self.programs, _copied(self._first), np.ones(1, bool), np.array([row.seed], np.uint32)
      )
    self._primed[name], _ = self._tick(self._primed[name], [row])
    jax.block_until_ready(self._primed[name].count)

  def tick(self, streams: Mapping[str, Row]) -> dict[str, tuple[int, Clip]]:
    """Moves all streams by one level.

    Args:
      streams: id -> what the stream does. At most as many as the largest size of `warm`.

    Returns:
      id -> (number, clip) of the chunk that leaves, for the streams that emit one.
    """
    self._slots = [name if name in streams else None for name in self._slots]
    self._fit(len(streams))
    new = [name for name in streams if name not in self._slots]
    if new:
      self._seat({name: streams[name].seed for name in new})
    self._primed.clear()
    idle = dataclasses.replace(_ROW, enters=False)
    rows = [idle if name is None else streams[name] for name in self._slots]
    self._state, emitted = self._tick(self._state, rows)
    clip, numbers = on_host(emitted.clip), np.asarray(emitted.number)
    return {
      name: (int(numbers[i]), {sense: x[i] for sense, x in clip.items()})
      for i, name in enumerate(self._slots)
      if name is not None and numbers[i] >= 0
    }

  def _seat(self, seeds: Mapping[str, int]) -> None:
    """Begins new streams, id -> seed, in free slots."""
    which, numbers = np.zeros(len(self._slots), bool), np.zeros(len(self._slots), np.uint32)
    for name, seed in seeds.items():
      slot = self._slots.index(None)
      self._slots[slot], which[slot], numbers[slot] = name, True, seed
    self._state = _begun(self.programs, self._state, which, numbers)
    for name in seeds.keys() & self._primed.keys():
      slot = np.int32(self._slots.index(name))
      self._state = _put(self._state, slot, self._primed[name])

  def _fit(self, count: int) -> None:
    """Changes the size of the batch, in steps between neighbouring sizes, to the least that holds `count`."""
    target = next(size for size in self._sizes if size >= max(count, 1))
    while len(self._slots) != target:
      at = self._sizes.index(len(self._slots))
      size = self._sizes[at + (1 if target > len(self._slots) else -1)]
      taken = [i for i, name in enumerate(self._slots) if name is not None]
      index = np.array([*taken, *[0] * size][:size], np.int32)
      self._state = _taken(self._state, index)
      self._slots = [*(self._slots[i] for i in taken), *[None] * size][:size]
      # Copies in free slots are not evaluated for anybody; `_begun` empties them before they are used.

  def _start(self, size: int) -> StreamState:
    keys = jax.vmap(jax.random.key)(jnp.zeros(size, jnp.uint32))
    return self.programs.start(self._params, _stacked([self._context("")] * size), keys)

  def _tick(self, state: StreamState, rows: Sequence[Row]):
    scales = np.array([row.scale for row in rows], np.float32)
    entering = Entering(
      which=np.array([row.enters for row in rows]),
      begins=np.array([row.begins for row in rows]),
      context=_stacked([self._context(row.prompt) for row in rows]),
      source=self._sources(rows) if self._has_sources else None,
      scale=scales,
    )
    return ticking()(self.programs, self._params, state, entering, self._guidance)

  def _sources(self, rows: Sequence[Row]) -> Clip:
    """The sources of all rows; zeros, of which nothing is left at time 1, for those without one."""
    blank = {
      sense.name: np.zeros((self.programs.chunk, *sense.shape), np.float32) for sense in self.programs.senses
    }
    sources = [{**blank, **(row.source or {})} for row in rows]
    return {name: np.stack([source[name] for source in sources]) for name in blank}

  def _context(self, prompt: str) -> Context:
    """The context of one prompt, encoded, on the host."""
    if prompt not in self._encoded:
      context = Context(text=tokenize([prompt], self._network.text_length))
      self._encoded[prompt] = on_host(self._encode(self._params, context))
      if len(self._encoded) > _ENCODED:
        self._encoded.popitem(last=False)
    self._encoded.move_to_end(prompt)
    return self._encoded[prompt]


_ROW = Row(prompt="", seed=0)


def _stacked(contexts: Sequence[Context]) -> Context:
  """Contexts of one row each as one batch."""
  return jax.tree.map(lambda *x: np.concatenate(x), *contexts)


def _begin(
  programs: StreamBatch, state: StreamState, which: Bool[Array, "streams"], seeds: UInt32[Array, "streams"]
) -> StreamState:
  """Begins streams with new seeds in the slots `which`."""
  return programs.reset(state, which, jax.vmap(jax.random.key)(seeds))


def _copied(state: StreamState) -> StreamState:
  """A copy, since `StreamBatch.tick` consumes its state."""
  return jax.tree.map(jnp.copy, state)


_put = jax.jit(put_stream)
_begun = jax.jit(_begin, static_argnums=0)
_taken = jax.jit(take_streams)
