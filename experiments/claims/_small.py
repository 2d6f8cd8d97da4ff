"""Configs of small models of digits and of small autoencoders, which claims train."""

from collections.abc import Mapping
from types import MappingProxyType

_NOTHING: Mapping = MappingProxyType({})


def digits(seed: int, *, canvas: int, frames: int = 8, patch: int = 4, **model) -> dict:
  """The config of a narrow model of sight, in which all frames of a clip share one time.

  Args:
    seed: seed of the training.
    canvas, frames, patch: keys of the section `source`.
    **model: keys of the section `model` to override.

  Returns:
    A new config, which the caller may change.
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
  """The config of a narrow autoencoder of clips of five frames.

  Args:
    seed: seed of the training.
    canvas: height and width of the clips, in pixels.
    model, objective: keys to override in the sections of these names.
  """
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
