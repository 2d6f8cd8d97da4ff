"""Loads the parts of a trained model: its system, its parameters and its scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax.checkpoints.adapter_file import with_adapters
from stale_jax.checkpoints.convert import is_unstacked
from stale_jax.checkpoints.fit import check_fit
from stale_jax.checkpoints.load import model_at
from stale_jax.checkpoints.named import NAMED
from stale_jax.checks import check_generates, check_weights, config_of
from stale_jax.config import build_system, resolve
from stale_jax.errors import UserError
from stale_jax.files import at
from stale_jax.mesh import MeshShape, check_heads, mesh_of, sharded, state_shardings
from stale_jax.scores import read_scores
from stale_jax.system import System

# Settings of the network that can be overridden at load time, with the value that means "disabled".
_OPEN = {"turns": 0, "forms": "none"}


def loaded(
  name: str,
  turns: int | None,
  forms: str | None,
  shape: MeshShape | None,
  adapters: Sequence[tuple[Any, float]],
) -> tuple[System, Any, str, dict[str, Any], dict[str, Any]]:
  """Loads the parts of a model; see `pipeline.load`.

  Args:
    name: name or path of the model.
    turns, forms: settings of the network that replace those of its config; None keeps them.
    shape: shape of the mesh that holds the parameters; None for a single device.
    adapters: (path, weight) of each adapter to merge.

  Returns:
    (the system, its parameters, `name`, the scores beside the weights, the settings that were chosen).
  """
  mesh = shape and shape.build()

  def place(config: Mapping[str, Any], shapes: Any) -> Any:
    if mesh is None or is_unstacked(shapes):
      return None
    with config_of(name):
      system = build_system(config)
    check_fit(shapes, system.parameter_shapes, name)
    return state_shardings(mesh, shapes, system.network.declared)

  params, config = model_at(name, place)
  with config_of(name):
    config = resolve(config)
  chosen = {k: v for k, v in {"turns": turns, "forms": forms}.items() if v is not None}
  for key, value in chosen.items():
    trained = config["model"].get(key, _OPEN[key])
    if (value == _OPEN[key]) != (trained == _OPEN[key]):
      raise UserError(f"{key}={value} does not fit {name}, which was trained with model.{key}={trained}.")
  with config_of(name):
    system = build_system({**config, "model": {**config["model"], **chosen}})
  check_fit(params, system.parameter_shapes, name)
  scores = read_scores(NAMED.get(name) or at(name))
  if mesh is not None and not system.is_autoencoder:
    check_heads(system.network.heads, mesh)
    system.network.check_mesh(shape)
  if mesh is None:
    params = jax.tree.map(jnp.asarray, params)
  elif mesh_of(params) is None:
    params = sharded(mesh, jax.tree.map(np.asarray, params), system.network.declared)
  check_weights(params, name)
  if adapters:
    check_generates(system, name)
    params, scores = with_adapters(params, system.network.declared, adapters), {}
    chosen["adapters"] = ", ".join(f"{path}:{weight:g}" for path, weight in adapters)
  return system, params, name, scores, chosen
