"""Fingerprints of arrays: sums over all of their words, which one flipped bit changes."""

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
    # NumPy reads the memory as it is: nothing is compiled.
    return np.sum(np.ravel(np.asarray(x)).view(np.uint32), dtype=np.uint32)
  return _sum_on_device(x)


def word_sums(parts: Mapping[str, Any]) -> dict[str, int]:
  """The 32-bit sum over all words of each part, whatever the sharding of its arrays.

  How arrays are named and ordered does not change it. On accelerators each shape has one small program: a
  single program of thousands of sums takes a minute to compile.
  """
  sums = jax.device_get({name: [_word_sum(x) for x in jax.tree.leaves(part)] for name, part in parts.items()})
  return {name: sum(map(int, each)) % 2**32 for name, each in sums.items()}


def fingerprint(sums: Mapping[str, int], data: Any) -> int:
  """The fingerprint of parts with these `word_sums`, and of `data`, which is JSON."""
  return (zlib.crc32(json.dumps(data, sort_keys=True).encode()) + sum(sums.values())) % 2**32
