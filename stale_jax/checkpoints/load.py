"""Loads a trained model, its parameters and config, from a run's folder, a weights file or by name."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from stale_jax.checkpoints.base import check_base, place_of_base
from stale_jax.checkpoints.convert import converted
from stale_jax.checkpoints.named import NAMED
from stale_jax.checkpoints.reading import config_of_run, newest_part
from stale_jax.checkpoints.weights import load_weights
from stale_jax.construct import choose
from stale_jax.files import AnyPath, at
from stale_jax.mesh import on_host
from stale_jax.models.adapters import ADAPTERS, merge
from stale_jax.sections import check_section

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

  Only these arrays of the checkpoint are read. An adapter is merged into the weights on which it was trained.

  Raises:
    UserError: as `reading.newest_part`.
  """
  config = config_of_run(folder)
  if config.get("adapter") is not None:
    return _adapted(folder, config, place)
  params = newest_part(folder, "ema", lambda shapes: place(config, shapes))
  return converted(params, config.get("senses", ()), folder), config


def _adapted(folder: AnyPath, config: dict[str, Any], place: Place) -> tuple[Any, dict[str, Any]]:
  """The result of `newest_ema` for a run that trains an adapter; its config no longer has the adapter."""
  check_section(config["adapter"], "adapter")
  adapter = choose(ADAPTERS, config["adapter"], "adapter")
  base, _ = model_at(place_of_base(folder), place)
  base = jax.tree.map(jnp.asarray, base)
  check_base(folder, base)
  # As NumPy, so that the adapter follows the sharding of the base.
  tree = on_host(newest_part(folder, "ema"))
  return merge(base, [(adapter.scaled(tree), 1.0)]), {**config, "adapter": None}
