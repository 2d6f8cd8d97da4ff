"""Weights in the former layout, before parameters were stacked: one array for each block and stream.

Such files and checkpoints are still read: every reader of weights passes them through `converted`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from stale_jax.models.lanes import Lane, lanes_of
from stale_jax.models.layers import TIME_FEATURES

# Layers outside the blocks of which those of a lane's streams are stacked.
_STACKED = ("time", "condition", "modulation", "inject")


def is_unstacked(params: Mapping[str, Any]) -> bool:
  """Whether `params` are a transformer's, stored as they were before they were stacked."""
  return any(name.startswith("block_") for name in params.get("params", {}))


def converted(params: dict[str, Any], senses: Sequence[str]) -> dict[str, Any]:
  """`params`, stacked if they are not: a transformer's weights, an average of them, or their moments.

  Args:
    params: {"params": tree of arrays}.
    senses: of the model's config, in its order.
  """
  if not is_unstacked(params):
    return params
  flat = traverse_util.flatten_dict(params["params"])
  first, *others = senses
  frames = {name: flat[f"{name}_time", "dense", "kernel"].shape[0] // TIME_FEATURES for name in others}
  lanes = [lane for lane in lanes_of(first, frames) if lane.is_stacked]
  depth = len([name for name in params["params"] if name.startswith("block_")])
  found: dict[tuple[str, ...], dict[tuple[int, int], Any]] = {}
  widths: dict[tuple[str, ...], tuple[int, ...]] = {}
  for path, x in flat.items():
    in_block = path[0].startswith("block_")
    layer = int(path[0].removeprefix("block_")) if in_block else 0
    inside = path[1:] if in_block else path
    lane, row, inside = _in_lane(inside, lanes, in_block)
    new = ("blocks", *inside) if in_block else inside
    found.setdefault(new, {})[layer, row] = x
    widths[new] = (*((depth,) if in_block else ()), *((len(lane.members),) if lane else ()))
  out = {path: _stack(parts, widths[path]) for path, parts in found.items()}
  return {"params": traverse_util.unflatten_dict(out)}


def _in_lane(
  path: tuple[str, ...], lanes: Sequence[Lane], in_block: bool
) -> tuple[Lane | None, int, tuple[str, ...]]:
  """(lane, which of its streams, the path of its stacked parameter); (None, 0, `path`) if of no lane."""
  for at, name in enumerate(path):
    for lane in lanes:
      for row, member in enumerate(lane.members):
        part = name.removeprefix(f"{member}_")
        if part != name and (in_block or part in _STACKED):
          return lane, row, (*path[:at], f"{lane.stored}_{part}", *path[at + 1 :])
  return None, 0, path


def _stack(parts: dict[tuple[int, int], Any], stack: tuple[int, ...]):
  """The arrays of (layer, row) as one with those leading axes."""
  values = [parts[key] for key in sorted(parts)]
  if not stack:
    return values[0]
  np_or_jnp = np if isinstance(values[0], np.ndarray) else jnp
  return np_or_jnp.reshape(np_or_jnp.stack(values), (*stack, *values[0].shape))
