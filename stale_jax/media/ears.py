"""Sound channels by name: "step left" is a step at the left ear, "click" is heard with both ears."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

EARS = ("left", "right")


class Part(NamedTuple):
  """One channel, or the two channels of one sound.

  Attributes:
    name: name of the channel, without the ear.
    is_panned: whether the name of the channel ends with an ear.
    level: intensity in each frame, in [0, 1]. It has one column if no channel of the sense names an ear, else
      one for the left and one for the right ear.
  """

  name: str
  is_panned: bool
  level: Float[np.ndarray, "frames ears"]


def by_ear(level: Float[np.ndarray, "frames channels"], channels: Sequence[str]) -> list[Part]:
  """Joins the channels whose names differ only in a last word "left" or "right", in order of the first."""
  names = [re.fullmatch(r"(.*?)(?: (left|right))?", name, re.DOTALL).groups() for name in channels]
  columns = 2 if any(ear for _, ear in names) else 1
  parts: list[Part] = []
  panned: dict[str, Part] = {}
  for (name, ear), values in zip(names, level.T, strict=True):
    if ear is None:
      parts.append(Part(name, False, values[:, None].repeat(columns, 1)))
      continue
    if name not in panned:
      panned[name] = Part(name, True, np.zeros((len(level), columns), level.dtype))
      parts.append(panned[name])
    panned[name].level[:, EARS.index(ear)] = values
  return parts
