"""Moving a stream between batches: out of its slot, and into a slot of a batch of any size.

The arrays of a `StreamState` have the axis of streams first (keys, counts), second (rows), or within the
flattened axis of rows (caches, level by level).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from stale_jax.sampling.stream.batch import StreamState


def take_streams(state: StreamState, slots: Int[Array, "new"]) -> StreamState:
  """The batch whose stream i is that of slot slots[i]."""
  streams = len(state.keys)

  def taken(x):
    return jnp.take(x, slots, 1)

  def of_cache(x):
    return jnp.reshape(taken(_levels(x, streams)), (-1, *x.shape[1:]))

  return StreamState(
    rows=jax.tree.map(taken, state.rows),
    cache=jax.tree.map(of_cache, state.cache),
    keys=state.keys[slots],
    count=state.count[slots],
  )


def take_stream(state: StreamState, slot: int | Int[Array, ""]) -> StreamState:
  """The stream in `slot` alone, as a batch of one stream."""
  return take_streams(state, jnp.asarray(slot)[None])


def put_stream(state: StreamState, slot: int | Int[Array, ""], stream: StreamState) -> StreamState:
  """`state` with `stream`, a batch of one (`take_stream`), in `slot`; the other slots do not change.

  The stream goes on with the same bits if the program of the batch is the one that it came from, and with the
  same values up to rounding if it is compiled for another number of streams.
  """
  streams = len(state.keys)

  def put(x, one):
    return jax.lax.dynamic_update_slice_in_dim(x, one, slot, 1)

  def to_cache(x, one):
    return jnp.reshape(put(_levels(x, streams), _levels(one, 1)), x.shape)

  return StreamState(
    rows=jax.tree.map(put, state.rows, stream.rows),
    cache=jax.tree.map(to_cache, state.cache, stream.cache),
    keys=state.keys.at[slot].set(stream.keys[0]),
    count=state.count.at[slot].set(stream.count[0]),
  )


def _levels(x: Array, streams: int) -> Array:
  """The rows of a cache as [levels, streams, ...]."""
  return jnp.reshape(x, (-1, streams, *x.shape[1:]))
