"""Corruption of clips with noise that depends only on the keys and the names of the senses.

A single key draws the noise of the whole batch, as in training. With one key per example, or per example and
frame, each is drawn separately, so that a sample does not depend on the rest of its batch.
"""

import zlib

import jax
from jaxtyping import Array, Float, Key

from stale_jax.clip import Clip
from stale_jax.processes.process import Corruption, Process


def fold_keys(keys: Key[Array, "*shape"], number) -> Key[Array, "*shape"]:
  """`jax.random.fold_in` for every key in an array of keys of any shape."""
  if keys.ndim:
    return jax.vmap(lambda key: fold_keys(key, number))(keys)
  return jax.random.fold_in(keys, number)


def named_keys(keys: Key[Array, "*shape"], name: str) -> Key[Array, "*shape"]:
  """Keys derived from `keys` for one named use: a sense, or a part of a program."""
  return fold_keys(keys, zlib.crc32(name.encode()))


def corrupt_array(
  process: Process,
  x: Float[Array, "batch frames *shape"],
  t: Float[Array, "batch frames"],
  keys: Key[Array, "..."],
) -> Corruption:
  """`Process.corrupt` for one array, with keys of shape (), [batch] or [batch, frames]."""
  if not keys.ndim:
    return process.corrupt(keys, x, t)
  wide, first = (None,) * keys.ndim, (0,) * keys.ndim

  def one(key, x, t):
    return Corruption(*(part[first] for part in process.corrupt(key, x[wide], t[wide])))

  for _ in range(keys.ndim):
    one = jax.vmap(one)
  return one(keys, x, t)


def corrupt(
  process: Process, clip: Clip, t: Float[Array, "batch frames"], keys: Key[Array, "..."]
) -> dict[str, Corruption]:
  """Corrupts every sense of `clip` at the same times, with independent noise for each sense.

  Args:
    process: the noising process.
    clip: sense -> [batch, frames, *shape].
    t: times, [batch, frames]; frames at time 0 are unchanged.
    keys: a single key, one per example, or one per example and frame. Each is folded with the sense's name.

  Returns:
    sense -> its corruption.
  """
  return {name: corrupt_array(process, x, t, named_keys(keys, name)) for name, x in clip.items()}
