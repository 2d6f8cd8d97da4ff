"""Which labels of clips a reader finds."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int

from stale_jax.data.sources.cartoons.labels import LABELS, Labels, name
from stale_jax.evaluation.cartoons.questions import states_direction

# The factors that are always claimed.
FACTORS = (
  "character",
  "colour",
  "action",
  "direction",
  "scene",
  "time",
  "prop",
  "camera",
  "character2",
)
_FIGURES = (("character", "colour"), ("character2", "colour2"))


def found(
  wanted: Sequence[Labels], labels: Mapping[str, Int[np.ndarray, "n"]]
) -> dict[str, tuple[Bool[np.ndarray, "n"], Bool[np.ndarray, "n"]]]:
  """Compares the labels that are read with those of the captions.

  In a dance of two, either figure may be the first, since captions do not say where they are.

  Args:
    wanted: the labels of each clip.
    labels: those read by a reader.

  Returns:
    factor -> (whether the label is found; whether it counts: the direction only if the caption states it, the
    second figure only if there is one).
  """
  result = {}
  for factor, classes in LABELS.items():
    asked = np.array([one.get(factor, len(classes)) for one in wanted])
    result[factor] = (labels[factor] == asked, asked < len(classes))
  for number, one in enumerate(wanted):
    action = name(one, "action")
    result["direction"][1][number] = states_direction(action)
    if action == "dances_with":
      straight = [int(labels[f][number] == one[f]) for side in _FIGURES for f in side]
      crossed = [
        int(labels[f][number] == one[g])
        for side, other in zip(_FIGURES, _FIGURES[::-1], strict=True)
        for f, g in zip(side, other, strict=True)
      ]
      if sum(crossed) > sum(straight):
        for factor, right in zip((f for side in _FIGURES[::-1] for f in side), crossed, strict=True):
          result[factor][0][number] = bool(right)
  return result


def accuracy(wanted: Sequence[Labels], labels: Mapping[str, Int[np.ndarray, "n"]]) -> dict[str, float]:
  """factor -> the share of the clips in which its label is found, of those in which it counts.

  A factor that counts in no clip is left out.
  """
  return {
    factor: float(right[counts].mean())
    for factor, (right, counts) in found(wanted, labels).items()
    if counts.any()
  }
