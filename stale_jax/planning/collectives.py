"""The collectives of a compiled program, by kind and by axis of the mesh.

The bytes of a collective are the bytes that each device sends with a ring algorithm. On n devices, all-gather
and reduce-scatter send (n-1)/n of the whole array, all-reduce twice as much, and all-to-all (n-1)/n of the
local array.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from stale_jax.planning.hlo import Instruction, Program

# A list of device indices: [16,4] or [16,4]T(1,0).
_IDS = r"(\[[\d,]*\](?:T\([\d,]*\))?)"
# A mesh, its device indices as the compilers for TPUs and for GPUs write them, and the axes of a group.
_MESH = rf"replica_groups=(mesh\[[^\]]*\])(?:<={_IDS}|, device_ids=\({_IDS}\))? *\{{([^}}]*)\}}"

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")


@dataclasses.dataclass(frozen=True)
class Collective:
  """All collectives of one kind along the same axes.

  Attributes:
    kind: one of KINDS.
    axes: axes of the mesh along which the devices of a group differ.
    size: number of devices in a group.
    slices: whether a group spans several slices.
    count: number of these collectives per step.
    bytes: bytes that a device sends in all of them, per step.
  """

  kind: str
  axes: tuple[str, ...]
  size: int
  slices: bool
  count: int
  bytes: float


def collectives(
  program: Program, mesh: Mapping[str, int], slice_of: Sequence[int] | None = None
) -> list[Collective]:
  """The collectives of one run of `program`, by decreasing bytes.

  Args:
    program: a program compiled for devices in the order of the mesh.
    mesh: axis -> size.
    slice_of: index of a device in the mesh -> its slice; default: all devices are in one slice.
  """
  found: dict[tuple, list] = {}
  seen = set()
  for name, one, times in program.walk():
    for where, inner in [(name, one), *program.inside(one)]:
      kind = inner.opcode.removesuffix("-start")
      if kind not in KINDS:
        continue
      # A collective fused with concurrent computation appears once per part of the computation.
      if chain := re.search(r'chain_id="(\d+)"', inner.rest):
        if chain[0] in seen:
          continue
        seen.add(chain[0])
      group = first_group(inner, math.prod(mesh.values()))
      if len(group) < 2:
        continue
      scattered = kind == "all-reduce" and "all-reduce-scatter" in where
      kind = "reduce-scatter" if scattered else kind
      far = slice_of is not None and len({slice_of[device] for device in group}) > 1
      key = (kind, _axes(group, mesh), len(group), far)
      sent = _sent(kind, len(group), _whole(program, where, inner))
      tally = found.setdefault(key, [0, 0.0])
      tally[0] += times
      tally[1] += times * sent
  made = (Collective(*key, count=count, bytes=sent) for key, (count, sent) in found.items())
  return sorted(made, key=lambda c: -c.bytes)


def _whole(program: Program, where: str, one: Instruction) -> float:
  """Bytes of the operands or of the results of the collective `one`, whichever is greater.

  `where` is the name of its computation.
  """
  into = [program.computations[where].get(name) for name in one.operands]
  given = sum(x.bytes for i in into if i is not None for x in i.arrays)
  # The result of a "-start" instruction also contains the operands.
  answer = [x.bytes for x in one.arrays if x.shape or len(one.arrays) == 1]
  if one.opcode.endswith("-start"):
    return max([given, *answer])
  return max(given, sum(answer))


def _sent(kind: str, n: int, whole: float) -> float:
  if kind == "collective-permute":
    return whole
  return whole * (n - 1) / n * (2 if kind == "all-reduce" else 1)


def first_group(one: Instruction, devices: int) -> tuple[int, ...]:
  """Device indices of one group; for a permutation, a sender and its receiver."""
  rest = one.rest
  if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", rest):
    every = re.findall(r"\{(\d+),(\d+)", pairs[1] + "}")
    moved = [(int(a), int(b)) for a, b in every if a != b]
    return moved[0] if moved else (0,)
  if mesh := re.search(_MESH, rest):
    sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
    ids = _iota(mesh[2] or mesh[3] or "", math.prod(sizes.values())).reshape(tuple(sizes.values()))
    return _of_mesh(ids, sizes, mesh[4])
  if iota := re.search(r"replica_groups=\[(\d+),(\d+)\]<=(\[[\d,]*\](?:T\([\d,]*\))?)", rest):
    rows, columns = int(iota[1]), int(iota[2])
    return tuple(_iota(iota[3], rows * columns).reshape(rows, columns)[0].tolist())
  if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
    return tuple(map(int, listed[1].split(",")))
  return tuple(range(devices))


def _iota(said: str, size: int) -> np.ndarray:
  """Flat device indices of an iota list: [16,4]T(1,0) is arange(64), reshaped and transposed."""
  match = re.match(r"\[([\d,]+)\](?:T\(([\d,]+)\))?", said)
  if not match:
    return np.arange(size)
  ids = np.arange(size).reshape([int(n) for n in match[1].split(",")])
  return (ids.transpose([int(n) for n in match[2].split(",")]) if match[2] else ids).reshape(-1)


def _of_mesh(ids: np.ndarray, sizes: dict[str, int], axes: str) -> tuple[int, ...]:
  """Device indices of the first group along the mesh axes that `axes` lists.

  A part of an axis is written 'a':(before)size: the factor `size` of the axis, after factors of product
  `before`.
  """
  index = []
  for name, whole in sizes.items():
    part = re.search(rf"'{name}'(?::\((\d+)\)(\d+))?", axes)
    if not part:
      index.append([0])
      continue
    before, size = (int(part[1]), int(part[2])) if part[1] else (1, whole)
    step = whole // before // size
    index.append([i * step for i in range(size)])
  return tuple(ids[np.ix_(*index)].reshape(-1).tolist())


def _axes(group: Sequence[int], mesh: Mapping[str, int]) -> tuple[str, ...]:
  places = np.stack(np.unravel_index(group, tuple(mesh.values())))
  return tuple(name for name, row in zip(mesh, places, strict=True) if len(set(row.tolist())) > 1)
