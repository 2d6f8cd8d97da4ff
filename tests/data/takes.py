"""Takes of cartoons with chosen labels, for tests."""

import numpy as np

from stale_jax.data.sources.cartoons.actions import PAIR
from stale_jax.data.sources.cartoons.labels import LABELS, NO_PROP, PROP, Labels
from stale_jax.data.sources.cartoons.take import Take, draw_take


def labelled(**names: str) -> Labels:
  """Labels with the given class names, and the first class of the other factors that fits the action."""
  chosen = {factor: LABELS[factor].index(name) for factor, name in names.items()}
  labels = dict.fromkeys(LABELS, 0) | {"character2": 1, "colour2": 1} | chosen
  action = LABELS["action"][labels["action"]]
  if action in NO_PROP:
    labels["prop"] = 0
  if action in PROP and not labels["prop"]:
    labels["prop"] = 1
  if action == "chases":
    labels["camera"] = 1
  if action not in PAIR:
    del labels["character2"], labels["colour2"]
  return labels


def take(seed: int = 0, duration: float = 2.0, half_width: float = 32.0, **names: str) -> Take:
  """A take of a square picture, whose phase, place and scenery depend on the seed alone."""
  return draw_take(np.random.default_rng(seed), labelled(**names), half_width, duration)
