"""Facts about a compiled program: memory, largest arrays, collectives."""

import math
import re

import jax

from stale_jax.errors import UserError
from stale_jax.planning.collectives import Collective, collectives
from stale_jax.planning.hlo import Program
from stale_jax.planning.topology import slice_index


def compile_or_size(lowered):
  """Compiles `lowered`.

  Returns:
    The compiled program, or, if it does not fit into memory, the number of bytes per device that it needs.

  Raises:
    UserError: compilation fails for another reason.
  """
  try:
    return lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    used = re.search(r"Used ([\d.]+)([KMGT]) of", str(error))
    if not used:
      raise UserError(f"the compiler cannot compile the program: {str(error).splitlines()[0]}") from error
    return float(used[1]) * 2 ** {"K": 10, "M": 20, "G": 30, "T": 40}[used[2]]


def sent(program: Program, mesh) -> list[Collective]:
  """The collectives of a program that was compiled for `mesh`."""
  slice_of = [slice_index(device) for device in mesh.devices.flat]
  return collectives(program, dict(mesh.shape), slice_of)


def held(tree) -> float:
  """Bytes that a tree of sharded arrays, or of their shapes, takes on one device."""
  leaves = jax.tree.leaves(tree)
  return float(sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves))


def largest_arrays(program: Program, count: int = 5) -> list[tuple[float, str, str]]:
  """(bytes, type, operation) of the `count` largest arrays in HBM of more than 1 MiB, one per type."""
  found: dict[str, tuple[float, str, str]] = {}
  for _, one, _ in program.walk():
    if one.opcode in ("parameter", "get-tuple-element", "tuple", "while", "bitcast", "constant"):
      continue
    for array in one.arrays:
      if array.far and array.bytes > 2**20:
        kind = array.dtype + str(list(array.shape))
        by = re.search(r'op_name="([^"]*)"', one.rest)
        found.setdefault(kind, (array.bytes, kind, by[1] if by else one.opcode))
  return sorted(found.values(), reverse=True)[:count]
