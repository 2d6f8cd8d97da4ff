"""Corruption of clips with noise that depends only on the keys and the names of the senses.

A single key draws the noise of the whole batch, as in training. With one key per example, or per example and
frame, each is drawn separately, so that a sample does not depend on the rest of its batch.
"""

import zlib
from collections.abc import Callable
from typing import Any

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


def with_keys(function: Callable, keys: Key[Array, "..."], *arrays: Array) -> Any:
  """function(key, *arrays), where `keys` has shape (), [batch] or [batch, frames].

  With a single key, one call serves the batch. Otherwise `function` is called for each key, on arrays whose
  first axes, as many as `keys` has, have length 1.
  """
  if not keys.ndim:
    return function(keys, *arrays)
  wide, first = (None,) * keys.ndim, (0,) * keys.ndim

  def one(key, *arrays):
    return jax.tree.map(lambda part: part[first], function(key, *(x[wide] for x in arrays)))

  for _ in range(keys.ndim):
    one = jax.vmap(one)
  return one(keys, *arrays)


def corrupt_array(
  process: Process,
  x: Float[Array, "batch frames *shape"],
  t: Float[Array, "batch frames"],
  keys: Key[Array, "..."],
) -> Corruption:
  """`Process.corrupt` for one array, with keys of shape (), [batch] or [batch, frames]."""
  return with_keys(process.corrupt, keys, x, t)


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
