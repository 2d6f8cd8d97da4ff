"""The KV cache of a frame-causal transformer: keys and values of past frames, layer by layer.

Keys are stored *raw*, before the rotary embedding. The rotation is applied when they are read, by their
current position in the window. So positions stay within the range seen in training, however long the movie.
(Caches of rotated keys, as in the code of StreamDiffusionV2, arXiv 2511.07399, must reset their positions
from time to time.) The window holds the newest frames and, optionally, the first few frames of the movie:
its *attention sinks* (StreamingLLM, arXiv 2309.17453).
"""

import functools

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Block -> stream -> keys or values.
BlockStreams = dict[str, dict[str, Float[Array, "batch slots place heads width"]]]


@flax.struct.dataclass
class KVCache:
  """Keys and values of the frames in the window. A slot is one time step of tokens; the last is the newest.

  Attributes:
    keys: block -> stream -> keys before the rotary embedding, [batch, slots, place, heads, width].
    values: likewise, the values, in the same shapes.
    frames: number of frames stored in each row of the batch. Unused slots come first.
  """

  keys: BlockStreams
  values: BlockStreams
  frames: Int[Array, "batch"]


def empty_cache(new: tuple[BlockStreams, BlockStreams], patch: dict[str, int], frames: int) -> KVCache:
  """An empty cache with room for `frames` frames.

  Args:
    new: keys and values of any number of frames, or their `jax.ShapeDtypeStruct`s; the cache has the same
      blocks, streams and dtypes.
    patch: stream -> frames per token.
    frames: capacity, a multiple of every value of `patch`.
  """

  def zeros(path, x):
    slots = frames // patch[path[-1].key]
    return jnp.zeros((x.shape[0], slots, *x.shape[2:]), x.dtype)

  keys, values = (jax.tree_util.tree_map_with_path(zeros, part) for part in new)
  batch = jax.tree.leaves(keys)[0].shape[0]
  return KVCache(keys=keys, values=values, frames=jnp.zeros(batch, jnp.int32))


def push(
  cache: KVCache,
  new: tuple[BlockStreams, BlockStreams],
  patch: dict[str, int],
  sinks: int = 0,
  decay: float = 1.0,
  which: Bool[Array, "batch"] | None = None,
) -> KVCache:
  """Appends frames to the cache. In a row that overflows, the oldest frames after the sinks are evicted.

  Args:
    cache: the cache so far.
    new: (keys, values) of the next frames, as `Transformer` sows them.
    patch: stream -> frames per token.
    sinks: number of first frames of the movie that are never evicted: a multiple of every value of `patch`
      and less than the capacity.
    decay: whenever frames are evicted, a sink becomes decay * sink + (1 - decay) * (their mean): the EMA sink
      of Reward Forcing, arXiv 2512.04678. At 1 the sinks do not change.
    which: rows to which frames are appended; the others do not change. None: all.

  Returns:
    The new cache, of the same capacity.
  """
  count, room = (_frames(part, patch) for part in (new[0], cache.keys))

  def push_row(each: int, frames, old, added):
    overflow, slots = jnp.maximum(frames + count - room, 0), old.shape[0]
    both = jnp.concatenate([old, added])
    moved = both[-slots:]
    # Unused slots come first, so the sinks reach slot 0 only when the cache is full; then they stay there.
    slot = jnp.arange(slots)
    first = room - jnp.minimum(frames, room)
    sink = jnp.take(both, jnp.clip(slot + first // each, 0, len(both) - 1), 0)
    if decay < 1:
      place, begin = jnp.arange(len(both)), first + sinks
      evicted = (place >= begin // each) & (place < (begin + overflow) // each)
      mean = jnp.sum(both * evicted[:, None, None, None], 0, keepdims=True) / jnp.maximum(evicted.sum(), 1)
      sink = decay * sink + (1 - decay) * mean.astype(both.dtype)
    is_sink = (slot < sinks // each) & (overflow > 0)
    return jnp.where(is_sink[:, None, None, None], sink, moved)

  def push_stream(path, old, added):
    pushed = jax.vmap(functools.partial(push_row, patch[path[-1].key]))(cache.frames, old, added)
    return pushed if which is None else jnp.where(which[:, None, None, None, None], pushed, old)

  keys, values = (
    jax.tree_util.tree_map_with_path(push_stream, old, added)
    for old, added in zip((cache.keys, cache.values), new, strict=True)
  )
  frames = jnp.minimum(cache.frames + count, room)
  return KVCache(
    keys=keys, values=values, frames=frames if which is None else jnp.where(which, frames, cache.frames)
  )


def refresh_sinks(
  cache: KVCache,
  new: tuple[BlockStreams, BlockStreams],
  patch: dict[str, int],
  sinks: int,
  threshold: float,
  which: Bool[Array, "batch"],
) -> KVCache:
  """Replaces a sink that no longer resembles the movie by the newest frame, in each block and stream.

  The similarity of a sink and a new frame is the mean of the cosines between their mean keys and between
  their mean values. If the least similarity of the sinks of a row is below `threshold`, this sink is replaced
  (StreamDiffusionV2, arXiv 2511.07399). Rows that are not full have no sinks yet.

  Args:
    cache: the cache before the new frames are pushed.
    new: (keys, values) of the new frames.
    patch: stream -> frames per token.
    sinks: number of sinks, in frames.
    threshold: least similarity of a sink that stays.
    which: rows to which the new frames belong; the others do not change.

  Returns:
    The cache with other sinks.
  """
  full = which & (cache.frames == _frames(cache.keys, patch))

  def similarity(old, newest):  # [batch, slots, place, heads, width] and [batch, place, heads, width]
    a, b = jnp.mean(old, 2), jnp.mean(newest, 1)[:, None]
    products = jnp.sum(a * b, (-2, -1)), jnp.sum(a * a, (-2, -1)) * jnp.sum(b * b, (-2, -1))
    return products[0] * jax.lax.rsqrt(jnp.maximum(products[1], 1e-12))

  def refreshed(path, k, v, new_k, new_v):
    slots = sinks // patch[path[-1].key]
    alike = (similarity(k[:, :slots], new_k[:, -1]) + similarity(v[:, :slots], new_v[:, -1])) / 2
    worst = (alike.argmin(1)[:, None] == jnp.arange(k.shape[1])) & (alike.min(1) < threshold)[:, None]
    replaced = (worst & full[:, None])[..., None, None, None]
    return jnp.where(replaced, new_k[:, -1:], k), jnp.where(replaced, new_v[:, -1:], v)

  pairs = jax.tree_util.tree_map_with_path(refreshed, cache.keys, cache.values, *new)
  keys, values = (
    {block: {name: pair[i] for name, pair in streams.items()} for block, streams in pairs.items()}
    for i in (0, 1)
  )
  return cache.replace(keys=keys, values=values)


def _frames(blocks: BlockStreams, patch: dict[str, int]) -> int:
  """The number of frames that the slots of `blocks` cover."""
  name, x = next(iter(next(iter(blocks.values())).items()))
  return x.shape[1] * patch[name]


def part_of(
  cache: KVCache, movies: int, rows: Int[Array, "part"] | None, size: int, half: Int[Array, ""] | int
) -> KVCache:
  """Selects the rows of the cache that belong to a batch of `size` examples.

  With classifier-free guidance the batch of the cache has two halves, conditional and unconditional, each
  with one row per movie.

  Args:
    cache: a cache whose batch axis is `movies`, or twice that with guidance.
    movies: number of movies, the rows of one half.
    rows: indices of the movies to select; None: all.
    size: batch size of the result: the number of selected movies, or twice that for both halves.
    half: index of the half to select if the cache has two and `size` covers one.
  """
  halves = size // (movies if rows is None else len(rows))

  def part(x):
    x = jnp.reshape(x, (-1, movies, *x.shape[1:]))
    x = jax.lax.dynamic_slice_in_dim(x, half, halves) if halves < len(x) else x
    x = x if rows is None else jnp.take(x, rows, 1)
    return jnp.reshape(x, (size, *x.shape[2:]))

  return jax.tree.map(part, cache)
