"""Fingerprints of arrays: the sum of all 32-bit words, which changes if any single bit is flipped."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


@jax.jit
def _sum_on_device(x: Array) -> Array:
  return jnp.sum(jax.lax.bitcast_convert_type(x, jnp.uint32), dtype=jnp.uint32)


def _word_sum(x: Array) -> Array | np.uint32:
  """The sum of the 32-bit words of `x`, modulo 2^32."""
  if x.is_fully_addressable and all(device.platform == "cpu" for device in x.devices()):
    # NumPy reads the memory of the array in place, and nothing is compiled.
    return np.sum(np.ravel(np.asarray(x)).view(np.uint32), dtype=np.uint32)
  return _sum_on_device(x)


def word_sums(parts: Mapping[str, Any]) -> dict[str, int]:
  """The sum of all 32-bit words of each part, modulo 2^32.

  It does not depend on the sharding, the names or the order of the arrays. On accelerators, one small program
  per shape is compiled, because a single program of thousands of sums takes a minute to compile.
  """
  sums = jax.device_get({name: [_word_sum(x) for x in jax.tree.leaves(part)] for name, part in parts.items()})
  return {name: sum(map(int, array_sums)) % 2**32 for name, array_sums in sums.items()}


def fingerprint(sums: Mapping[str, int], data: Any) -> int:
  """The fingerprint of a checkpoint, from the `word_sums` of its parts and its JSON `data`."""
  return (zlib.crc32(json.dumps(data, sort_keys=True).encode()) + sum(sums.values())) % 2**32
