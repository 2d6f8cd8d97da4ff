"""What a frame-causal transformer keeps of past frames: their keys and values, layer by layer.

Keys are kept as they are before rotary positions and turned when they are read, by where they then lie in
the window: a movie has no last position, and no frame is ever at one that training has not seen. (Caches
of turned keys, as in StreamDiffusionV2's code, arXiv 2511.07399, must jump back at times.) The window is
the newest frames behind the first few of the movie, its *sinks* (StreamingLLM, arXiv 2309.17453).
"""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Block -> stream -> keys or values.
Kept = dict[str, dict[str, Float[Array, "batch slots place heads width"]]]


@flax.struct.dataclass
class KVCache:
  """Keys and values of the frames in the window, the newest in the last slot.

  Attributes:
    keys: not turned by their positions.
    values: of the same shapes; a slot is one token's time.
    frames: how many of the movie so far are in it; the slots before them are empty.
  """

  keys: Kept
  values: Kept
  frames: Int[Array, ""]


def empty_cache(new: tuple[Kept, Kept], patch: dict[str, int], frames: int) -> KVCache:
  """One with room for so many frames of what `new`, the keys and values of some frames, are of.

  Args:
    new: or their shapes.
    patch: stream -> frames a token covers.
    frames: a multiple of each.
  """

  def room(path, x):
    slots = frames // patch[path[-1].key]
    return jnp.zeros((len(x) if isinstance(x, jax.Array) else x.shape[0], slots, *x.shape[2:]), x.dtype)

  keys, values = (jax.tree_util.tree_map_with_path(room, kept) for kept in new)
  return KVCache(keys=keys, values=values, frames=jnp.zeros((), jnp.int32))


def push(
  cache: KVCache, new: tuple[Kept, Kept], patch: dict[str, int], sinks: int = 0, decay: float = 1.0
) -> KVCache:
  """The cache with `new` behind; what it has no room for goes, the oldest frames after the sinks first.

  Args:
    cache: before.
    new: keys and values of the next frames, as `Transformer` sows them.
    patch: stream -> frames a token covers.
    sinks: first frames of the movie that never go, a multiple of each `patch` and less than the room.
    decay: how much of itself a sink keeps whenever others go, whose mean takes the rest (the EMA sink of
      Reward Forcing, arXiv 2512.04678).
  """
  count, room = (_frames(kept, patch) for kept in (new[0], cache.keys))
  overflow = jnp.maximum(cache.frames + count - room, 0)

  def one(path, old, new):
    each = patch[path[-1].key]
    both = jnp.concatenate([old, new], 1)
    moved = both[:, -old.shape[1] :]
    # The sinks lie in the first slots once the cache is full; they reach these as it fills.
    slot = jnp.arange(old.shape[1])
    first = room - jnp.minimum(cache.frames, room)
    stay = jnp.take(both, jnp.clip(slot + first // each, 0, both.shape[1] - 1), 1)
    if decay < 1:
      place, begin = jnp.arange(both.shape[1]), first + sinks
      gone = (place >= begin // each) & (place < (begin + overflow) // each)
      mean = jnp.sum(both * gone[:, None, None, None], 1, keepdims=True) / jnp.maximum(gone.sum(), 1)
      stay = decay * stay + (1 - decay) * mean.astype(both.dtype)
    kept = (slot < sinks // each) & (overflow > 0)
    return jnp.where(kept[:, None, None, None], stay, moved)

  keys, values = (
    jax.tree_util.tree_map_with_path(one, old, added)
    for old, added in zip((cache.keys, cache.values), new, strict=True)
  )
  return KVCache(keys=keys, values=values, frames=jnp.minimum(cache.frames + count, room))


def _frames(kept: Kept, patch: dict[str, int]) -> int:
  """How many frames `kept` has room for."""
  name, x = next(iter(next(iter(kept.values())).items()))
  return x.shape[1] * patch[name]


def part_of(
  cache: KVCache, movies: int, rows: Int[Array, "part"] | None, size: int, half: Int[Array, ""] | int
) -> KVCache:
  """The cache of a batch of `size` examples.

  Args:
    cache: of `movies` examples, or twice as many where guidance has two halves.
    movies: in each half.
    rows: which of the movies; None: all.
    size: as many as there are `rows`, or twice as many for both halves.
    half: which half of the cache, if one of two is asked for.
  """
  asked = size // (movies if rows is None else len(rows))

  def part(x):
    x = jnp.reshape(x, (-1, movies, *x.shape[1:]))
    x = jax.lax.dynamic_slice_in_dim(x, half, asked) if asked < len(x) else x
    x = x if rows is None else jnp.take(x, rows, 1)
    return jnp.reshape(x, (size, *x.shape[2:]))

  return cache.replace(keys=jax.tree.map(part, cache.keys), values=jax.tree.map(part, cache.values))
