"""Lanes: streams of one width whose layers run, and are stored, as one.

Every stream of the transformer has weights of its own, and the side senses are narrow and many. A lane holds
the streams of one width side by side: their weights are one array with a leading axis, and a layer is one
batched product for all of them. Fewer arrays, fewer operations, faster compiles.
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
  """Streams that run together.

  Attributes:
    stored: the name that their parameters begin with.
    members: the streams.
    rows: which rows of the stored parameters are theirs; (): the parameters have no axis for streams.
    whole: whether these are all rows.
  """

  stored: str
  members: tuple[str, ...]
  rows: tuple[int, ...] = ()
  whole: bool = True

  @property
  def key(self) -> str:
    """Its name among the lanes of a clip."""
    return self.members[0]

  @property
  def is_stacked(self) -> bool:
    """Whether arrays of this lane have a leading axis for its streams."""
    return len(self.members) > 1

  def map(self, f: Callable) -> Callable:
    """`f`, a function of arrays of one stream, for arrays of the lane."""
    return jax.vmap(f) if self.is_stacked else f

  def join(self, streams: dict[str, Array]) -> Array:
    """The lane's array, of its streams' arrays."""
    if self.is_stacked:
      return jnp.stack([streams[name] for name in self.members])
    return streams[self.key]

  def split(self, x: Array) -> dict[str, Array]:
    """Undoes `join`."""
    return dict(zip(self.members, x, strict=True)) if self.is_stacked else {self.key: x}

  def stack(
    self, tree: Any, part: str, prefixes: tuple[str, ...] = ("",), leading: tuple[int, ...] = ()
  ) -> Any:
    """The declarations `tree` of the part `{stream}_{part}` of each stream, under each prefix to its path.

    `leading` are the axes that the prefixes make, before the axis for streams.
    """
    starts = [f"{prefix}{name}_{part}" for prefix in prefixes for name in self.members]
    return stacked(tree, starts, (*leading, len(self.members)) if self.is_stacked else leading)

  def parameters(self, params: dict[str, Any], *parts: str) -> dict[str, Any]:
    """Its rows of the parameters `{stored}_{part}`, by part."""
    found = {part: params[f"{self.stored}_{part}"] for part in parts}
    if not self.rows or (self.whole and self.is_stacked):
      return found
    rows = np.array(self.rows) if self.is_stacked else self.rows[0]
    return jax.tree.map(lambda x: x[rows], found)


def lanes_of(first: str, others: dict[str, int]) -> tuple[Lane, ...]:
  """The lanes of a model: the caption, the first sense, and the others together.

  Args:
    first: sense.
    others: sense -> frames that one of its tokens covers; senses with equal values share a lane.
  """
  alike: dict[int, list[str]] = {}
  for name, frames in others.items():
    alike.setdefault(frames, []).append(name)
  found = [Lane(stored=name, members=(name,)) for name in ("text", first)]
  for frames, names in alike.items():
    together = "sides" if len(alike) == 1 else f"sides_of_{frames}"
    rows = tuple(range(len(names))) if len(names) > 1 else ()
    found.append(Lane(stored=together if rows else names[0], members=tuple(names), rows=rows))
  return tuple(found)


def of_clip(lanes: tuple[Lane, ...], streams: dict[str, Array]) -> tuple[Lane, ...]:
  """The lanes of those of the model's `lanes` that are among `streams`, each of streams of one shape."""
  found = []
  for lane in lanes:
    alike: dict[tuple[int, ...], list[int]] = {}
    for row, name in enumerate(lane.members):
      if name in streams:
        alike.setdefault(streams[name].shape, []).append(row)
    for rows in alike.values():
      members = tuple(lane.members[row] for row in rows)
      kept = tuple(rows) if lane.is_stacked else ()
      found.append(Lane(stored=lane.stored, members=members, rows=kept, whole=len(rows) == len(lane.members)))
  return tuple(found)


def join(lanes: tuple[Lane, ...], streams: dict[str, Array]) -> dict[str, Array]:
  """Each lane's array, by the lane's key."""
  return {lane.key: lane.join(streams) for lane in lanes}


def split(lanes: tuple[Lane, ...], arrays: dict[str, Array], order=None) -> dict[str, Array]:
  """Undoes `join`; the streams are in that order, by default in the lanes'."""
  streams = {name: x for lane in lanes for name, x in lane.split(arrays[lane.key]).items()}
  return streams if order is None else {name: streams[name] for name in order}
