"""Rewards: functions from generated clips to one number per clip, which noise is tuned to."""

import dataclasses
import importlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip
from stale_jax.data.source import Source
from stale_jax.data.sources.digits import COLOURS, DIGITS, DIRECTIONS, SPEEDS
from stale_jax.errors import UserError
from stale_jax.evaluation.liveliness import Liveliness
from stale_jax.evaluation.reader import fitted_reader
from stale_jax.fields import nearest

# (clips, sense -> [clips, frames, *shape] in [-1, 1]) -> the reward of each clip; more is better.
Reward = Callable[[Clip], Float[np.ndarray, "clips"]]
_CLASSES = {"digit": DIGITS, "colour": tuple(COLOURS), "direction": DIRECTIONS, "speed": SPEEDS}


def build_reward(name: str, source: Source) -> Reward:
  """The reward of a name.

  Args:
    name: LABEL:CLASS, for example "digit:seven" or "colour:red": the log-probability of the class according
      to a reader fitted on real clips, for models of digits. "liveliness": that of the second half of a clip
      with respect to the first (`evaluation.liveliness`). MODULE:FUNCTION: a Python function with the type
      `Reward`.
    source: source of the clips.

  Raises:
    UserError: there is no such reward, or it does not suit the source.
  """
  if name == "liveliness":
    if "sight" not in source.senses:
      raise UserError("--reward=liveliness needs sight, and the clips have none.")
    return liveliness
  first, colon, second = name.partition(":")
  if first in _CLASSES:
    if source.kind != "digits" or "sight" not in source.senses:
      raise UserError(f"--reward={name} reads clips of digits; for other models, give MODULE:FUNCTION.")
    if second not in _CLASSES[first]:
      raise UserError(f"unknown class in --reward={name}: {nearest(second, _CLASSES[first])}")
    return class_reward(source, first, _CLASSES[first].index(second))
  if not colon:
    known = "LABEL:CLASS such as digit:seven, liveliness, or MODULE:FUNCTION"
    raise UserError(f"unknown --reward={name}: give {known}.")
  return _checked(name, imported_function("reward", name))


def class_reward(source: Source, label: str, index: int) -> Reward:
  """The log-probability, in nats, that a reader of `source` gives to a class of a label."""
  reader = fitted_reader(dataclasses.replace(source, split="train"))
  return lambda clips: reader(clips["sight"]).log_probabilities[label][:, index]


def liveliness(clips: Clip) -> Float[np.ndarray, "clips"]:
  """The liveliness of the second half of each clip, from 0 to 1."""

  def one(sight):
    meter = Liveliness(window=max(1, sight.shape[0] // 2))
    meter.add(sight[None])
    return meter.scores()["liveliness"]

  return np.array([one(np.asarray(sight)) for sight in clips["sight"]])


def imported_function(flag: str, name: str) -> Callable:
  """The Python function MODULE:FUNCTION, the value `name` of --`flag`.

  Raises:
    UserError: it cannot be imported.
  """
  module, colon, function = name.partition(":")
  if not colon:
    raise UserError(f"--{flag}={name}: give MODULE:FUNCTION.")
  try:
    found = vars(importlib.import_module(module)).get(function)
  except ImportError as error:
    raise UserError(f"--{flag}={name}: cannot import {module}: {error}") from error
  if not callable(found):
    raise UserError(f"--{flag}={name}: {module} has no function {function}.")
  return found


def _checked(name: str, found: Callable) -> Reward:
  def reward(clips: Clip) -> Float[np.ndarray, "clips"]:
    rewards = np.asarray(found(clips))
    if rewards.shape != (count := len(next(iter(clips.values()))),):
      raise UserError(f"--reward={name} returned an array {rewards.shape} for {count} clips, not ({count},).")
    return rewards

  return reward
