"""The nine things that a figure can hold, drawn around the hand with y downwards."""

import math
from collections.abc import Callable

from stale_jax.data.sources.cartoons.pen import INK, Frame, Pen, arc, scaled, shape

_SIZE = 1.45  # Larger than life, to be readable.
GOLD, DARK_GOLD, WHITE = (255, 208, 60), (206, 142, 30), (255, 255, 255)

_VASE = shape(-1.4 - 7.6j, 1.4 - 7.6j, 1.1 - 6j, 3.2 - 3.6j, 2.4 - 0.2j, -2.4 - 0.2j, -3.2 - 3.6j, -1.1 - 6j)
_GEM = shape(-3.6 - 3.6j, -1.9 - 6j, 1.9 - 6j, 3.6 - 3.6j, 1j)
_PETALS = arc(-6j, 2.0, 2.0, 0, 2 * math.pi * 4 / 5, 5)


def _vase(pen: Pen, time: float) -> None:
  pen.polygon(_VASE, GOLD)
  pen.polygon((-2.8 - 3.6j, 2.8 - 3.6j, 2.6 - 2.3j, -2.6 - 2.3j), DARK_GOLD, 0)
  pen.polygon((-1.8 - 5.4j, -0.8 - 5.4j, -0.8 - 4j, -2 - 4j), (255, 244, 190), 0)


def _gem(pen: Pen, time: float) -> None:
  pen.polygon(_GEM, (255, 96, 190))
  pen.polygon((-1.9 - 5.8j, -5.8j, -1.2 - 3.6j, -3.4 - 3.6j), (255, 206, 240), 0)
  pen.polygon((0.6j, 3.2 - 3.4j, 0.9 - 3.4j), (196, 44, 140), 0)


def _bag(pen: Pen, time: float) -> None:
  cloth = (206, 176, 124)
  pen.ellipse(3.4j, 3.8, 3.5, cloth)
  pen.polygon((-1.8 - 1.4j, 1.8 - 1.4j, 1.0 + 0.6j, -1.0 + 0.6j), cloth)
  pen.stroke((-1.1 + 0.4j, 1.1 + 0.4j), 0.8, (150, 60, 40), 0)
  pen.ellipse(3.8j, 1.7, 1.9, (60, 130, 70), 0)


def _axe(pen: Pen, time: float) -> None:
  pen.stroke((4j, -7j), 1.5, (160, 104, 56))
  pen.polygon((-0.6 - 7.8j, 4.6 - 8.8j, 5.4 - 3.0j, -0.6 - 4.2j), (206, 214, 226))


def _flower(pen: Pen, time: float) -> None:
  pen.stroke((2j, -4j), 1.0, (60, 150, 70))
  for petal in _PETALS:
    pen.ellipse(complex(petal), 1.6, 1.6, (255, 250, 255))
  for petal in _PETALS:
    pen.ellipse(complex(petal), 1.6, 1.6, (255, 250, 255), 0)
  pen.ellipse(-6j, 1.4, 1.4, (255, 196, 40), 0)


def _balloon(pen: Pen, time: float) -> None:
  sway = 1.2 * math.sin(4 * time)
  pen.stroke((0, 0.5 * sway + 0.4 - 3j, sway - 5j), 0.5, (240, 240, 240), 0)
  pen.ellipse(sway - 9j, 3.6, 4.3, (236, 40, 60))
  pen.ellipse(sway - 1.3 - 10.6j, 0.9, 1.3, (255, 190, 200), 0)


def _guitar(pen: Pen, time: float) -> None:
  wood = (214, 122, 40)
  pen.stroke((0, 8.5 - 3.6j), 1.4, (96, 58, 32))
  pen.ellipse(-1.4 + 0.8j, 3.4, 3.0, wood)
  pen.ellipse(1.6 - 0.4j, 2.5, 2.2, wood)
  pen.ellipse(-1.4 + 0.8j, 3.3, 2.9, wood, 0)
  pen.ellipse(-0.2 + 0.3j, 1.1, 1.1, INK, 0)


def _microphone(pen: Pen, time: float) -> None:
  pen.stroke((2j, -2.4j), 1.6, (60, 60, 70))
  pen.ellipse(-4.4j, 2.3, 2.5, (190, 196, 210))
  pen.ellipse(-0.7 - 5.2j, 0.7, 0.7, WHITE, 0)


def _wand(pen: Pen, time: float) -> None:
  pen.stroke((1j, -5.2j), 1.0, (250, 250, 250))
  pen.star(-7.2j, 3.4, (255, 226, 70), pen.line)


PROPS: dict[str, Callable[[Pen, float], None]] = {
  "vase": _vase,
  "gem": _gem,
  "bag": _bag,
  "axe": _axe,
  "flower": _flower,
  "balloon": _balloon,
  "guitar": _guitar,
  "microphone": _microphone,
  "wand": _wand,
}
# By how much a prop turns with the arm; the others stay upright.
SWING = {"axe": 1.0, "wand": 1.0, "microphone": 0.8, "flower": 0.9}

SCENTS = {
  "vase": "clay",
  "gem": "mineral",
  "bag": "paper",
  "axe": "wood",
  "flower": "rose",
  "balloon": "rubber",
  "guitar": "varnish",
  "microphone": "metal",
  "wand": "ozone",
}
# The middle of a prop, about which it turns when it is thrown.
MIDDLES = {
  "vase": -3.8j,
  "gem": -2.6j,
  "bag": 2.6j,
  "axe": -2.4j,
  "flower": -3j,
  "balloon": -6j,
  "guitar": 2.4 - 1.2j,
  "microphone": -1.8j,
  "wand": -4j,
}


def draw_prop(
  pen: Pen, name: str, hand: complex, facing: float, turn: float, time: float, thrown: bool = False
) -> None:
  """Draws a prop.

  Args:
    pen: draws in the coordinates of the picture.
    name: a key of PROPS.
    hand: the place of the hand that holds it, or of the middle of a thrown prop.
    facing: 1 if its holder faces right, -1 if left.
    turn: its angle, clockwise, in radians.
    time: seconds since the beginning of the clip, for what dangles.
    thrown: whether it flies.
  """
  frame = scaled(_SIZE * facing, _SIZE, hand, turn)
  with pen.within(frame.after(Frame(c=-MIDDLES[name])) if thrown else frame):
    PROPS[name](pen, time)
