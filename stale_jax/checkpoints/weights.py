"""Weights files: parameters and the config of their run in one safetensors file, for distribution."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import traverse_util
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stale_jax.checkpoints.config_file import upgrade, with_format
from stale_jax.checkpoints.convert import converted
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, local_copy, parse_object, write_whole
from stale_jax.hosts import leads
from stale_jax.mesh import on_host


def save_weights(path: AnyPath, params, config: dict[str, Any], dtype=jnp.float16) -> None:
  """Writes `params`, rounded to `dtype`, and the run's config to `path`, atomically.

  In a run of several processes, all of them must call this function. Process 0 writes; each other process
  holds at most one whole array at a time.
  """
  arrays = {}
  for name, value in traverse_util.flatten_dict(params, sep="/").items():
    value = on_host(value)
    if leads():
      arrays[name] = np.asarray(value, dtype)
  if leads():
    write_whole(path, save(arrays, metadata={"config": json.dumps(with_format(config))}))


def load_weights(path: AnyPath) -> tuple[Any, dict[str, Any]]:
  """Reads a weights file; parameters in the old layout (`checkpoints.convert`) are stacked.

  Returns:
    The parameters in float32, and the config.

  Raises:
    UserError: there is no such file, or it is not a weights file of stale_jax.
  """
  path = epath.Path(path)
  if not path.is_file():
    raise UserError(f"no weights at {path}: give a run's folder or a .safetensors file.")
  try:
    with local_copy(path) as file, safe_open(file, framework="numpy") as file:
      text = file.metadata()["config"]
      flat = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}
  # TypeError: there is no metadata, or NumPy lacks the type of an array.
  except (SafetensorError, KeyError, TypeError, OSError) as error:
    raise UserError(f"{path} is not a weights file of stale_jax: {error}") from error
  config = upgrade(parse_object(text, f"the config in {path}", "use another copy of the file"), path)
  return converted(traverse_util.unflatten_dict(flat, sep="/"), config.get("senses", ()), path), config
