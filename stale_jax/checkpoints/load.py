"""Loads a trained model, its parameters and config, from a run's folder, a weights file or by name."""

from typing import Any

from etils import epath

from stale_jax.checkpoints.config_file import read_config
from stale_jax.checkpoints.convert import converted
from stale_jax.checkpoints.named import NAMED
from stale_jax.checkpoints.reading import newest_part
from stale_jax.checkpoints.weights import load_weights
from stale_jax.files import AnyPath, at


def model_at(name: str | AnyPath) -> tuple[Any, dict[str, Any]]:
  """Loads a trained model.

  Args:
    name: a run's folder, a weights file, or the name of a packaged model (`NAMED`).

  Returns:
    The averaged parameters and the config.

  Raises:
    UserError: there is no such model, or it cannot be read.
  """
  path = NAMED.get(name) or at(name)
  return newest_ema(path) if path.is_dir() else load_weights(path)


def newest_ema(folder: AnyPath) -> tuple[Any, dict[str, Any]]:
  """Loads the averaged parameters of a run's newest undamaged checkpoint, and the run's config.

  Only these arrays of the checkpoint are read.

  Raises:
    UserError: as `reading.newest_part`.
  """
  params, config = newest_part(folder, "ema"), read_config(epath.Path(folder) / "config.json")
  return converted(params, config.get("senses", ())), config
