"""Converts weights of the old layout, which has one array per block and stream, to stacked parameters.

The new layout stacks blocks, and the streams of a lane (`models.lanes`), along leading axes of one array.

Files and checkpoints of the old layout can still be read: every reader of weights calls `converted`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from stale_jax.errors import UserError
from stale_jax.models.lanes import Lane, lanes_of
from stale_jax.models.layers import TIME_FEATURES

# Layers outside the blocks whose parameters are stacked over the streams of a lane.
_STACKED = ("time", "condition", "modulation", "inject")


def is_unstacked(params: Mapping[str, Any]) -> bool:
  """Whether `params` are the parameters of a transformer in the old layout, without stacking."""
  return any(name.startswith("block_") for name in params.get("params", {}))


def converted(params: dict[str, Any], senses: Any, where: Any = "the model") -> dict[str, Any]:
  """Stacks the parameters of a transformer if they have the old layout.

  Args:
    params: {"params": tree of arrays}: weights, an average of weights, or optimizer moments.
    senses: the names of the senses in the model's config, which may be damaged.
    where: path or name of the model, for the error message.

  Returns:
    The stacked parameters; `params` itself if it does not have the old layout.

  Raises:
    UserError: the parameters are not those of a model with these senses.
  """
  if not is_unstacked(params):
    return params
  message = (
    f"{where}: the weights do not fit the config with senses={senses!r}; restore the config of the run."
  )
  if not isinstance(senses, list | tuple) or not all(isinstance(name, str) for name in senses):
    raise UserError(message)
  try:
    return _converted(params, senses)
  except (KeyError, ValueError) as error:
    raise UserError(message) from error


def _converted(params: dict[str, Any], senses: Sequence[str]) -> dict[str, Any]:
  flat = traverse_util.flatten_dict(params["params"])
  first, *others = senses
  frames = {name: flat[f"{name}_time", "dense", "kernel"].shape[0] // TIME_FEATURES for name in others}
  lanes = [lane for lane in lanes_of(first, frames) if lane.is_stacked]
  depth = len([name for name in params["params"] if name.startswith("block_")])
  # Path of the stacked parameter -> (layer, row of the lane) -> array; and its leading axes.
  parts: dict[tuple[str, ...], dict[tuple[int, int], Any]] = {}
  leading_axes: dict[tuple[str, ...], tuple[int, ...]] = {}
  for path, x in flat.items():
    in_block = path[0].startswith("block_")
    layer = int(path[0].removeprefix("block_")) if in_block else 0
    inside = path[1:] if in_block else path
    lane, row, inside = _in_lane(inside, lanes, in_block)
    stacked = ("blocks", *inside) if in_block else inside
    parts.setdefault(stacked, {})[layer, row] = x
    leading_axes[stacked] = (*((depth,) if in_block else ()), *((len(lane.members),) if lane else ()))
  out = {path: _stack(arrays, leading_axes[path]) for path, arrays in parts.items()}
  return {"params": traverse_util.unflatten_dict(out)}


def _in_lane(
  path: tuple[str, ...], lanes: Sequence[Lane], in_block: bool
) -> tuple[Lane | None, int, tuple[str, ...]]:
  """Finds the place of a parameter in the stacked layout.

  Returns:
    Its lane, the row of its stream in the lane, and the path of the stacked parameter; (None, 0, `path`) if
    the parameter is in no lane.
  """
  for at, name in enumerate(path):
    for lane in lanes:
      for row, member in enumerate(lane.members):
        part = name.removeprefix(f"{member}_")
        if part != name and (in_block or part in _STACKED):
          return lane, row, (*path[:at], f"{lane.stored}_{part}", *path[at + 1 :])
  return None, 0, path


def _stack(arrays: dict[tuple[int, int], Any], leading_axes: tuple[int, ...]):
  """Stacks the arrays, whose keys are (layer, row), to one array with these leading axes."""
  values = [arrays[key] for key in sorted(arrays)]
  if not leading_axes:
    return values[0]
  np_or_jnp = np if isinstance(values[0], np.ndarray) else jnp
  return np_or_jnp.reshape(np_or_jnp.stack(values), (*leading_axes, *values[0].shape))
