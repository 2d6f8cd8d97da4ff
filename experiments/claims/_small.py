"""Small models of digits, and of what codes them, trained within a claim."""

from collections.abc import Mapping
from types import MappingProxyType

_NOTHING: Mapping = MappingProxyType({})


def digits(seed: int, *, canvas: int, frames: int = 8, patch: int = 4, **model) -> dict:
  """Sight alone, narrow, all frames at one time; `model` over that section. It is the caller's to change."""
  from configs import digits

  config = digits.get_config().to_dict()
  sizes = {"width": 64, "text_width": 32, "condition_width": 64, "depth": 6, "causal": False}
  return {
    **config,
    "seed": seed,
    "senses": ["sight"],
    "source": {**config["source"], "canvas": canvas, "frames": frames, "patch": patch},
    "times": {**config["times"], "independent": False},
    "rollout": {},
    "model": {**config["model"], **sizes, **model},
    "objective": {**config["objective"], "weights": {}},
  }


def autoencoder(seed: int, *, canvas: int, model: Mapping = _NOTHING, objective: Mapping = _NOTHING) -> dict:
  """Narrow, of short clips, as a config; `model` and `objective` over those sections."""
  from configs import autoencoder_digits

  config = autoencoder_digits.get_config().to_dict()
  return {
    **config,
    "seed": seed,
    "source": {**config["source"], "canvas": canvas, "frames": 5},
    "model": {**config["model"], "width": 16, **model},
    "objective": {**config["objective"], **objective},
    "ema": {"decay": 0.99},
  }


def moved(params, seed: int = 0, by: float = 0.1):
  """`params` as they are drawn, with noise on each, so that none of a network's gates is closed."""
  import jax

  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
  noisy = [x + by * jax.random.normal(key, x.shape) for key, x in zip(keys, leaves, strict=True)]
  return jax.tree.unflatten(tree, noisy)


def drawn(config: dict, seed: int = 0):
  """A `stale_jax.Model` of no use, that of `config` before training, but for the noise of `moved`."""
  import jax

  from stale_jax.config import build
  from stale_jax.pipeline import Model
  from stale_jax.training.program import init_params

  experiment = build(config)
  return Model(experiment, moved(init_params(experiment, jax.random.key(seed)), seed), "drawn")


def trained(config: dict, steps: int, **training):
  """The `stale_jax.Model` that training `config` for `steps` gives.

  Raises:
    UserError: it was told to stop before its end.
  """
  import tempfile

  from stale_jax.errors import UserError
  from stale_jax.pipeline import load
  from stale_jax.run import train

  kept = {"steps": steps, "log_every": 100, "checkpoint_every": steps, "keep": 1}
  with tempfile.TemporaryDirectory() as folder:
    config = {**config, "training": {**config["training"], **kept, **training}}
    if int(train(config, folder).step) < steps:
      raise UserError("training was told to stop before its end.")
    return load(folder)
