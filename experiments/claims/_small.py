"""Configs of small models of digits and of small autoencoders, which are trained within a claim."""

from collections.abc import Mapping
from types import MappingProxyType

_NOTHING: Mapping = MappingProxyType({})


def digits(seed: int, *, canvas: int, frames: int = 8, patch: int = 4, **model) -> dict:
  """A narrow model of sight with all frames at one time. `model` overrides that section.

  The caller may change the config that is returned.
  """
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
  """A narrow autoencoder of short clips. `model` and `objective` override those sections."""
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
