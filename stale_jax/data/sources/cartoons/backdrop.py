"""What all scenes share: the view of the camera, the sky, and things that recur along a layer."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from stale_jax.data.sources.cartoons.pen import Colour, Pen, arc

FLOOR = 50.0  # Where the ground meets the background.
SKY: dict[str, tuple[Colour, Colour]] = {  # At the top and above the floor.
  "day": ((110, 190, 250), (206, 238, 255)),
  "sunset": ((246, 120, 96), (255, 214, 140)),
  "night": ((22, 26, 72), (62, 62, 128)),
}
TINT = {"day": (1.0, 1.0, 1.0), "sunset": (1.0, 0.8, 0.72), "night": (0.46, 0.5, 0.74)}
_BANDS = 6
_STARS = 12
# Between a circle of radius 5 and one of radius 4.2 whose centre is (2.2, -1).
_CRESCENT = np.concatenate([arc(0, 5, 5, 0.566, 4.864, 16), arc(2.2 - 1j, 4.2, 4.2, 4.361, 1.069, 12)])


class View(NamedTuple):
  """What a scene looks like besides its kind.

  Attributes:
    time: the time of day, a key of SKY.
    scroll: how far the camera is along the scene, in units.
    random: numbers from 0 to 1 that vary the scenery, the same during a clip.
  """

  time: str
  scroll: float
  random: Float[np.ndarray, "16 5"]


def along(
  pen: Pen, view: View, pace: float, gap: float, first: int = 0
) -> Iterator[tuple[float, Float[np.ndarray, "5"], int]]:
  """The things of a layer that may be visible.

  Args:
    pen: the canvas, for its width.
    view: where the camera is.
    pace: how fast the layer passes: 0 at infinity, 1 where the figures are.
    gap: distance from one thing to the next.
    first: row of `view.random` for the first thing.

  Yields:
    Its x, numbers that vary it, and its number.
  """
  begin = math.floor((view.scroll * pace - pen.half_width) / gap) - 1
  end = math.ceil((view.scroll * pace + pen.half_width) / gap) + 1
  for number in range(begin, end + 1):
    yield number * gap - view.scroll * pace, view.random[(number + first) % len(view.random)], number


def across(pen: Pen, top: float, bottom: float, colour: Colour) -> None:
  """A band over the whole width."""
  pen.rectangle(-pen.half_width - 1, top, pen.half_width + 1, bottom, colour)


def draw_sky(pen: Pen, view: View) -> None:
  """The sky in bands from the top to the floor, with the sun, or the moon and stars."""
  rows = pen.row(FLOOR)
  high, low = map(np.array, SKY[view.time])
  share = np.minimum(np.arange(rows) * _BANDS // max(rows, 1), _BANDS - 1)[:, None] / (_BANDS - 1)
  pen.canvas[:rows] = (high + (low - high) * share).astype(np.uint8)[:, None]
  x = pen.half_width * (1.1 * view.random[0, 0] - 0.55)
  if view.time == "night":
    for row in view.random[:_STARS]:
      place = complex((2 * row[1] - 1) * pen.half_width, 3 + 24 * row[2])
      pen.ellipse(place, 0.55, 0.55, (240, 240, 255), 0)
    pen.polygon(_CRESCENT, (250, 246, 214), 0, x + 11j)
  elif view.time == "day":
    pen.ellipse(x + 10j, 5, 5, (255, 236, 120), 0)
  else:
    pen.ellipse(x + 30j, 8, 8, (255, 240, 170), 0)
