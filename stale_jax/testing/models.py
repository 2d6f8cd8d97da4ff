"""Models for tests and claims: with random parameters, or trained for a few steps."""

import dataclasses
import tempfile
from collections.abc import Mapping
from typing import Any

import jax

from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.pipeline import Model, load
from stale_jax.run import train
from stale_jax.training.initial import init_params


def moved(params, seed: int = 0, by: float = 0.1):
  """`params` plus Gaussian noise of standard deviation `by`, so that zero-initialised gates are not 0."""
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
  noisy = [x + by * jax.random.normal(key, x.shape) for key, x in zip(keys, leaves, strict=True)]
  return jax.tree.unflatten(tree, noisy)


def drawn(config: Mapping[str, Any], seed: int = 0) -> Model:
  """The untrained model of `config`, with noise added to its initial parameters by `moved`."""
  experiment = build(config)
  return Model(experiment, moved(init_params(experiment, jax.random.key(seed)), seed), "drawn")


def drawn_like(model: Model, seed: int = 0) -> Model:
  """`model` with random parameters instead of its own, as in `drawn`."""
  params = moved(init_params(model.system, jax.random.key(seed)), seed)
  return dataclasses.replace(model, params=params, name="drawn")


def trained(config: Mapping[str, Any], steps: int, **training) -> Model:
  """Trains `config` for `steps` and returns the model; `training` overrides keys of the section `training`.

  Raises:
    UserError: training was interrupted.
  """
  settings = {"steps": steps, "log_every": 100, "checkpoint_every": steps, "keep": 1}
  with tempfile.TemporaryDirectory() as folder:
    config = {**config, "training": {**config["training"], **settings, **training}}
    if int(train(config, folder).step) < steps:
      raise UserError(f"training was interrupted before step {steps}.")
    return load(folder)
