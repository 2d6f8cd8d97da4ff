"""Poses of a two-legged figure, and the geometry of its limbs. Points are complex numbers (see `pen`).

In the coordinates of a figure x is forwards, y is up, and 0 is on the ground below it.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Complex

SIZE = 1.14  # Units of the picture per unit of a figure.
HIP = 11.0  # Height of the hip of a figure of size 1 that stands.
HEAD = HIP + 15.6  # Height of the centre of its head.
MIDDLE = 15.0  # Height of the point around which a cartwheel turns.
THIGH, SHIN, ARM = 5.6, 5.4, 5.4  # Lengths of the bones; an arm has two of equal length.
ANKLE = 1.6  # Height of the ankle above the sole.
SHOULDERS = (-2.6 + 7.4j, 1.9 + 7.4j)  # Of the far and the near arm, relative to the hip.

_T = np.linspace(0, 1, 7)
_BEZIER = np.stack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2], -1)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
  """A figure at one moment.

  Attributes:
    x: how far the figure has gone forwards.
    lift: height of the whole figure above the ground.
    dip: how much lower the hip is than when standing.
    sway: shift of the whole figure forwards.
    lean: angle of the trunk forwards, radians.
    stretch: height divided by that of the figure at rest; the width changes inversely.
    turn: angle of the whole figure about its middle, radians.
    face: 1 for a side view; between -1 and 1 while the figure turns about its vertical axis.
    feet: the far and the near foot, relative to the point below the figure.
    arms: for the far and the near arm, the angles of the shoulder, from hanging down towards the front, and
      of the elbow.
    nod: angle of the head, radians.
    mouth: "smile", "grin" or "open".
    thrown: place of a thrown prop and its angle, in the coordinates of a figure of size 1.
    spell: seconds since a spell was cast; None if none was.
    car: whether the figure has the form of a car.
    cloud: size, from 0 to 1, of the cloud of a transformation.
  """

  x: float = 0.0
  lift: float = 0.0
  dip: float = 0.0
  sway: float = 0.0
  lean: float = 0.0
  stretch: float = 1.0
  turn: float = 0.0
  face: float = 1.0
  feet: tuple[complex, complex] = (-2.4 + 0j, 2.4 + 0j)
  arms: tuple[tuple[float, float], tuple[float, float]] = ((-0.35, 0.4), (0.35, 0.4))
  nod: float = 0.0
  mouth: str = "smile"
  thrown: tuple[complex, float] | None = None
  spell: float | None = None
  car: bool = False
  cloud: float = 0.0


def ease(share: float) -> float:
  """A smooth step: 0 for shares up to 0, 1 from 1 on."""
  share = min(max(share, 0.0), 1.0)
  return share * share * (3 - 2 * share)


def direction(angle: float) -> complex:
  """The unit vector at `angle` from hanging down towards the front."""
  return complex(math.sin(angle), -math.cos(angle))


def bend(root: complex, middle: complex, end: complex) -> Complex[np.ndarray, "7"]:
  """A smooth limb from `root` to `end` that bends at the joint `middle`."""
  control = middle + 0.55 * (middle - (root + end) / 2)
  return _BEZIER @ np.array([root, control, end])


def reach(root: complex, end: complex, first: float, second: float) -> tuple[complex, complex]:
  """Inverse kinematics of two bones.

  Args:
    root: where the first bone begins.
    end: where the second bone should end.
    first, second: lengths of the bones.

  Returns:
    The joint between the bones, which bends forwards, and the end, moved into reach if it is too far.
  """
  offset = end - root
  distance = abs(offset) + 1e-6
  along = offset / distance
  distance = min(distance, (first + second) * 0.999)
  to_joint = (first**2 - second**2 + distance**2) / (2 * distance)
  aside = math.sqrt(max(first**2 - to_joint**2, 0.0))
  return root + along * complex(to_joint, aside), root + along * distance


def stride(
  phase: float, stance: float, lift: float, duty: float, kick: float = 0.0
) -> tuple[complex, complex]:
  """The feet of a gait. A foot touches down whenever phase, or phase + .5 for the near foot, is whole.

  Args:
    phase: position in the gait; one cycle has length 1.
    stance: distance by which a foot on the ground moves backwards, relative to the body.
    lift: greatest height of a foot.
    duty: fraction of a cycle in which a foot is on the ground.
    kick: how far the foot in the air swings backwards and forwards beyond the stance.
  """
  feet = []
  for offset in (0.0, 0.5):
    share = (phase + offset) % 1
    if share < duty:
      feet.append(complex(stance * (0.5 - share / duty), 0.0))
    else:
      air = (share - duty) / (1 - duty)
      x = stance * (ease(air) - 0.5) - kick * math.sin(2 * math.pi * air)
      feet.append(complex(x, lift * math.sin(math.pi * air)))
  return tuple(feet)
