"""A trained model from a run's folder, a weights file or a name: its parameters and its config."""

from typing import Any

from etils import epath

from stale_jax.checkpoints.config_file import read_config
from stale_jax.checkpoints.convert import converted
from stale_jax.checkpoints.named import NAMED
from stale_jax.checkpoints.reading import newest_part
from stale_jax.checkpoints.weights import load_weights
from stale_jax.files import AnyPath, at


def model_at(name: str | AnyPath) -> tuple[Any, dict[str, Any]]:
  """(averaged parameters, config) of a run's folder, a weights file or, by name (`NAMED`), of the package.

  Raises:
    UserError: there is no model of that name.
  """
  path = NAMED.get(name) or at(name)
  return newest_ema(path) if path.is_dir() else load_weights(path)


def newest_ema(folder: AnyPath) -> tuple[Any, dict[str, Any]]:
  """(averaged parameters of the newest undamaged checkpoint, config) of a run.

  Of the checkpoint only these arrays are read. Raises UserError like `reading.newest_part`.
  """
  params, config = newest_part(folder, "ema"), read_config(epath.Path(folder) / "config.json")
  return converted(params, config.get("senses", ())), config
