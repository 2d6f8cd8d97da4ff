"""The five scenes by name."""

from collections.abc import Callable
from typing import NamedTuple

from stale_jax.data.sources.cartoons.backdrop import View
from stale_jax.data.sources.cartoons.indoors import animate_stage, draw_museum, draw_stage
from stale_jax.data.sources.cartoons.outdoors import animate_forest, draw_city, draw_desert, draw_forest
from stale_jax.data.sources.cartoons.pen import Pen


def _nothing_moves(pen: Pen, view: View, time: float) -> None:
  pass


class Scene(NamedTuple):
  """A place.

  Attributes:
    draw: draws what stands still in it, over the whole canvas.
    animate: draws what moves in it at a time, in seconds, on top.
    loudness: how loud steps are on its floor, from 0 to 1.
    scent: what it smells of.
  """

  draw: Callable[[Pen, View], None]
  scent: str
  loudness: float
  animate: Callable[[Pen, View, float], None] = _nothing_moves


SCENES = {
  "museum": Scene(draw_museum, "polish", 1.0),
  "forest": Scene(draw_forest, "pine", 0.4, animate_forest),
  "stage": Scene(draw_stage, "popcorn", 1.0, animate_stage),
  "city": Scene(draw_city, "exhaust", 0.7),
  "desert": Scene(draw_desert, "dust", 0.4),
}
