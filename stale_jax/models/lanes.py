"""Lanes: groups of streams of equal width whose parameters are stored stacked and whose layers run batched.

Each stream of the transformer has its own weights, and there are many narrow side senses. A lane stacks the
weights of several such streams in one array with a leading axis, and runs a layer of all of them as one
batched matrix product. This means fewer arrays, fewer operations and faster compilation.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from stale_jax.models.parameters import stacked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lane:
  """A group of streams that are computed together.

  Attributes:
    stored: prefix of the names of the stored parameters.
    members: names of the streams.
    rows: the members' indices along the stream axis of the stored parameters; () if there is no such axis.
    whole: whether `rows` are all rows of the stored parameters.
  """

  stored: str
  members: tuple[str, ...]
  rows: tuple[int, ...] = ()
  whole: bool = True

  @property
  def key(self) -> str:
    """The key of the lane in dictionaries: its first stream."""
    return self.members[0]

  @property
  def is_stacked(self) -> bool:
    """Whether the arrays of this lane have a leading axis for its streams."""
    return len(self.members) > 1

  def map(self, f: Callable) -> Callable:
    """Lifts `f`, a function of one stream's arrays, to the arrays of the lane."""
    return jax.vmap(f) if self.is_stacked else f

  def join(self, streams: dict[str, Array]) -> Array:
    """Stacks the members' arrays into the array of the lane."""
    if self.is_stacked:
      return jnp.stack([streams[name] for name in self.members])
    return streams[self.key]

  def split(self, x: Array) -> dict[str, Array]:
    """Inverse of `join`."""
    return dict(zip(self.members, x, strict=True)) if self.is_stacked else {self.key: x}

  def stack(
    self, tree: Any, part: str, prefixes: tuple[str, ...] = ("",), leading: tuple[int, ...] = ()
  ) -> Any:
    """Stacks the declarations `tree` over `prefixes` and the members of the lane.

    Args:
      tree: declarations of one stream.
      part: suffix of the parameter path: `{prefix}{stream}_{part}`.
      prefixes: prefixes of the path, for example one per block.
      leading: the shape of the axes for the prefixes, which precede the axis for streams.
    """
    starts = [f"{prefix}{name}_{part}" for prefix in prefixes for name in self.members]
    return stacked(tree, starts, (*leading, len(self.members)) if self.is_stacked else leading)

  def parameters(self, params: dict[str, Any], *parts: str) -> dict[str, Any]:
    """Selects the members' rows of the parameters `{stored}_{part}`: part -> parameters."""
    stored = {part: params[f"{self.stored}_{part}"] for part in parts}
    if not self.rows or (self.whole and self.is_stacked):
      return stored
    rows = np.array(self.rows) if self.is_stacked else self.rows[0]
    return jax.tree.map(lambda x: x[rows], stored)


def lanes_of(first: str, others: dict[str, int]) -> tuple[Lane, ...]:
  """The lanes of a model: one for the caption, one for the first sense, and shared ones for the others.

  Args:
    first: name of the first sense.
    others: sense -> frames per token; senses with equal values share a lane.
  """
  by_frames: dict[int, list[str]] = {}
  for name, frames in others.items():
    by_frames.setdefault(frames, []).append(name)
  lanes = [Lane(stored=name, members=(name,)) for name in ("text", first)]
  for frames, names in by_frames.items():
    shared = "sides" if len(by_frames) == 1 else f"sides_of_{frames}"
    rows = tuple(range(len(names))) if len(names) > 1 else ()
    lanes.append(Lane(stored=shared if rows else names[0], members=tuple(names), rows=rows))
  return tuple(lanes)


def of_clip(lanes: tuple[Lane, ...], streams: dict[str, Array]) -> tuple[Lane, ...]:
  """The lanes of a clip: the model's `lanes` restricted to the clip's streams.

  Args:
    lanes: the lanes of the model.
    streams: the streams of the clip. Streams of different shapes are put in different lanes.
  """
  present = []
  for lane in lanes:
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for row, name in enumerate(lane.members):
      if name in streams:
        by_shape.setdefault(streams[name].shape, []).append(row)
    for rows in by_shape.values():
      members = tuple(lane.members[row] for row in rows)
      stored_rows = tuple(rows) if lane.is_stacked else ()
      whole = len(rows) == len(lane.members)
      present.append(Lane(stored=lane.stored, members=members, rows=stored_rows, whole=whole))
  return tuple(present)


def join(lanes: tuple[Lane, ...], streams: dict[str, Array]) -> dict[str, Array]:
  """Stacks the streams of each lane. Returns lane key -> array."""
  return {lane.key: lane.join(streams) for lane in lanes}


def split(lanes: tuple[Lane, ...], arrays: dict[str, Array], order=None) -> dict[str, Array]:
  """Inverse of `join`. The streams are in the order of `order`; by default, in the order of the lanes."""
  streams = {name: x for lane in lanes for name, x in lane.split(arrays[lane.key]).items()}
  return streams if order is None else {name: streams[name] for name in order}
