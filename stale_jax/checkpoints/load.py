"""Loads a trained model, its parameters and config, from a run's folder, a weights file or by name."""

from collections.abc import Callable
from typing import Any

from stale_jax.checkpoints.convert import converted
from stale_jax.checkpoints.named import NAMED
from stale_jax.checkpoints.reading import config_of_run, newest_part
from stale_jax.checkpoints.weights import load_weights
from stale_jax.files import AnyPath, at

# (config, tree of shapes of the parameters) -> tree of shardings, or None for the first local device.
Place = Callable[[dict[str, Any], Any], Any]


def model_at(name: str | AnyPath, place: Place = lambda *_: None) -> tuple[Any, dict[str, Any]]:
  """Loads a trained model.

  Args:
    name: a run's folder, a weights file, or the name of a packaged model (`NAMED`).
    place: where to place the parameters of a run's folder; those of a file are returned on the host.

  Returns:
    The averaged parameters and the config.

  Raises:
    UserError: there is no such model, or it cannot be read.
  """
  path = NAMED.get(name) or at(name)
  return newest_ema(path, place) if path.is_dir() else load_weights(path)


def newest_ema(folder: AnyPath, place: Place = lambda *_: None) -> tuple[Any, dict[str, Any]]:
  """Loads the averaged parameters of a run's newest undamaged checkpoint, and the run's config.

  Only these arrays of the checkpoint are read.

  Raises:
    UserError: as `reading.newest_part`.
  """
  config = config_of_run(folder)
  params = newest_part(folder, "ema", lambda shapes: place(config, shapes))
  return converted(params, config.get("senses", ()), folder), config
