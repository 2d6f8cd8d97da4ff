"""The KV cache of a frame-causal transformer: keys and values of past frames, layer by layer.

Keys are stored *raw*, before the rotary embedding. The rotation is applied when they are read, by their
current position in the window. So positions stay within the range seen in training, however long the movie.
(Caches of rotated keys, as in the code of StreamDiffusionV2, arXiv 2511.07399, must reset their positions
from time to time.) The window holds the newest frames and, optionally, the first few frames of the movie:
its *attention sinks* (StreamingLLM, arXiv 2309.17453).
"""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Block -> stream -> keys or values.
BlockStreams = dict[str, dict[str, Float[Array, "batch slots place heads width"]]]


@flax.struct.dataclass
class KVCache:
  """Keys and values of the frames in the window. A slot is one time step of tokens; the last is the newest.

  Attributes:
    keys: block -> stream -> keys before the rotary embedding, [batch, slots, place, heads, width].
    values: likewise, the values, in the same shapes.
    frames: number of frames stored. Unused slots come first.
  """

  keys: BlockStreams
  values: BlockStreams
  frames: Int[Array, ""]


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
    return jnp.zeros((len(x) if isinstance(x, jax.Array) else x.shape[0], slots, *x.shape[2:]), x.dtype)

  keys, values = (jax.tree_util.tree_map_with_path(zeros, part) for part in new)
  return KVCache(keys=keys, values=values, frames=jnp.zeros((), jnp.int32))


def push(
  cache: KVCache,
  new: tuple[BlockStreams, BlockStreams],
  patch: dict[str, int],
  sinks: int = 0,
  decay: float = 1.0,
) -> KVCache:
  """Appends frames to the cache. If it overflows, the oldest frames after the sinks are evicted.

  Args:
    cache: the cache so far.
    new: (keys, values) of the next frames, as `Transformer` sows them.
    patch: stream -> frames per token.
    sinks: number of first frames of the movie that are never evicted: a multiple of every value of `patch`
      and less than the capacity.
    decay: whenever frames are evicted, a sink becomes decay * sink + (1 - decay) * (their mean): the EMA sink
      of Reward Forcing, arXiv 2512.04678. At 1 the sinks do not change.

  Returns:
    The new cache, of the same capacity.
  """
  count, room = (_frames(part, patch) for part in (new[0], cache.keys))
  overflow = jnp.maximum(cache.frames + count - room, 0)

  def push_stream(path, old, new):
    each = patch[path[-1].key]
    both = jnp.concatenate([old, new], 1)
    moved = both[:, -old.shape[1] :]
    # Unused slots come first, so the sinks reach slot 0 only when the cache is full; then they stay there.
    slot = jnp.arange(old.shape[1])
    first = room - jnp.minimum(cache.frames, room)
    sink = jnp.take(both, jnp.clip(slot + first // each, 0, both.shape[1] - 1), 1)
    if decay < 1:
      place, begin = jnp.arange(both.shape[1]), first + sinks
      evicted = (place >= begin // each) & (place < (begin + overflow) // each)
      mean = jnp.sum(both * evicted[:, None, None, None], 1, keepdims=True) / jnp.maximum(evicted.sum(), 1)
      sink = decay * sink + (1 - decay) * mean.astype(both.dtype)
    is_sink = (slot < sinks // each) & (overflow > 0)
    return jnp.where(is_sink[:, None, None, None], sink, moved)

  keys, values = (
    jax.tree_util.tree_map_with_path(push_stream, old, added)
    for old, added in zip((cache.keys, cache.values), new, strict=True)
  )
  return KVCache(keys=keys, values=values, frames=jnp.minimum(cache.frames + count, room))


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

  return cache.replace(keys=jax.tree.map(part, cache.keys), values=jax.tree.map(part, cache.values))
