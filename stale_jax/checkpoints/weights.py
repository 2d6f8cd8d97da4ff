"""Weights to give away: one safetensors file with the config that made them."""

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
from stale_jax.files import AnyPath, local_copy, write_whole
from stale_jax.hosts import leads, whole


def save_weights(path: AnyPath, params, config: dict[str, Any], dtype=jnp.float16) -> None:
  """Writes `params`, rounded to `dtype`, and the run's config to `path` in one piece.

  Of several processes each must call this, and the first writes; no other ever holds more than one array.
  """
  arrays = {}
  for name, value in traverse_util.flatten_dict(params, sep="/").items():
    value = whole(value)
    if leads():
      arrays[name] = np.asarray(value, dtype)
  if leads():
    write_whole(path, save(arrays, metadata={"config": json.dumps(with_format(config))}))


def load_weights(path: AnyPath) -> tuple[Any, dict[str, Any]]:
  """(params in float32, config) of a file of `save_weights`, of now or of before parameters were stacked.

  Raises:
    UserError: no such file, or it is none of ours.
  """
  path = epath.Path(path)
  if not path.is_file():
    raise UserError(f"no weights at {path}: give a run's folder or a .safetensors file.")
  try:
    with local_copy(path) as file, safe_open(file, framework="numpy") as file:
      config = upgrade(json.loads(file.metadata()["config"]), path)
      flat = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}
  except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
    raise UserError(f"{path} is not a weights file of stale_jax: {error}") from error
  return converted(traverse_util.unflatten_dict(flat, sep="/"), config.get("senses", ())), config
