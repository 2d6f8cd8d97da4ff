"""Fingerprints of arrays: sums over all of their words, which one flipped bit changes."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


@jax.jit
def _word_sum(x: Array) -> Array:
  return jnp.sum(jax.lax.bitcast_convert_type(x, jnp.uint32), dtype=jnp.uint32)


def word_sums(parts: Mapping[str, Any]) -> dict[str, int]:
  """The 32-bit sum over all words of each part, whatever the sharding of its arrays.

  How arrays are named and ordered does not change it. Each shape has one small program: a single program of
  thousands of sums takes a minute to compile.
  """
  sums = jax.device_get({name: [_word_sum(x) for x in jax.tree.leaves(part)] for name, part in parts.items()})
  return {name: sum(map(int, each)) % 2**32 for name, each in sums.items()}


def fingerprint(sums: Mapping[str, int], data: Any) -> int:
  """The fingerprint of parts with these `word_sums`, and of `data`, which is JSON."""
  return (zlib.crc32(json.dumps(data, sort_keys=True).encode()) + sum(sums.values())) % 2**32
