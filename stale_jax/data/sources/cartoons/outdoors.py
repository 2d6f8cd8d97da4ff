"""Scenes under the sky: a magical forest, a city and a desert."""

import math

import numpy as np
from jaxtyping import Float

from stale_jax.data.sources.cartoons.backdrop import FLOOR, TINT, View, across, along, draw_sky
from stale_jax.data.sources.cartoons.pen import Pen, mix, shape

_CAP = shape(-3.6 + 46j, -2 + 43j, 2 + 43j, 3.6 + 46j)
_GRASS = shape(-2 + 49.6j, -2.6 + 46j, -0.4 + 48j, 44.6j, 0.8 + 48j, 2.8 + 46.4j, 2 + 49.6j)
_FIREFLIES = 7
_WALLS = ((196, 120, 104), (126, 142, 176), (206, 170, 126))


def draw_forest(pen: Pen, view: View) -> None:
  """Firs far away, trees, and glowing mushrooms."""
  draw_sky(pen, view)
  with pen.tinted(TINT[view.time]):
    for x, vary, _ in along(pen, view, 0.25, 13):
      pen.polygon((x - 9 + 50j, complex(x, 20 + 10 * vary[0]), x + 9 + 50j), (98, 158, 134), 0)
    for x, vary, _ in along(pen, view, 0.5, 17, 5):
      x, y = x + 5 * vary[1], 4 * vary[0]
      pen.rectangle(x - 1.6, 26, x + 1.6, 51, (104, 78, 74))
      for place, radius in ((18j, 8), (-5 + 24j, 6), (5 + 24j, 6)):
        pen.ellipse(x + place + 1j * y, radius, radius * 0.85, (64, 136, 96), 0)
      pen.ellipse(x - 2.4 + 1j * (16 + y), 4, 3, (92, 164, 112), 0)
    across(pen, FLOOR - 1, 65, (112, 176, 92))
    across(pen, 57.5, 65, (90, 150, 78))
    for x, vary, _ in along(pen, view, 1.0, 15, 9):
      if vary[0] < 0.5:
        pen.rectangle(x - 0.9, 45.5, x + 0.9, 49.6, (240, 230, 214))
        pen.polygon(_CAP, (226, 70, 92), 0, x)
        pen.ellipse(x + 44.4j, 0.8, 0.6, (255, 255, 255), 0)
      else:
        pen.polygon(_GRASS, (72, 136, 72), 0, x)


def animate_forest(pen: Pen, view: View, time: float) -> None:
  """Fireflies."""
  span = 2 * pen.half_width + 8
  for number, vary in enumerate(view.random[:_FIREFLIES]):
    x = (vary[3] * 90 - 0.7 * view.scroll + 3 * math.sin(2 * time + number)) % span - span / 2
    y = 20 + 24 * vary[4] + 1.6 * math.cos(3 * time + 2 * number)
    pen.ellipse(complex(x, y), 0.9, 0.9, (255, 255, 160), 0)


def draw_city(pen: Pen, view: View) -> None:
  """Houses, whose windows are lit unless it is day, a pavement, and a road."""
  draw_sky(pen, view)
  lit = view.time != "day"
  with pen.tinted(TINT[view.time]):
    for x, vary, _ in along(pen, view, 0.25, 12):
      pen.rectangle(x - 5, 16 + 14 * vary[0], x + 6, 50, (150, 156, 196))
    for x, vary, _ in along(pen, view, 0.5, 19, 4):
      _draw_house(pen, x, vary, lit)
    across(pen, FLOOR - 1, 65, (156, 156, 170))
    across(pen, 57.5, 65, (92, 92, 108))
    across(pen, 57.2, 58.2, (196, 196, 204))
    for x, _, _ in along(pen, view, 1.0, 14):
      pen.rectangle(x - 3, 61, x + 3, 62.2, (240, 226, 150))
  for x, _, _ in along(pen, view, 1.0, 42, 7):
    pen.rectangle(x - 0.7, 22, x + 0.7, 50, (62, 66, 84))
    pen.ellipse(x + 21j, 2.3, 2.3, (255, 244, 180) if lit else (220, 226, 232), 0)


def _draw_house(pen: Pen, x: float, vary: Float[np.ndarray, "5"], lit: bool) -> None:
  top, wall = 20 + 12 * vary[0], _WALLS[int(vary[1] * 3)]
  pen.rectangle(x - 8, top, x + 8, 50, wall)
  pen.rectangle(x - 8.6, top - 1.6, x + 8.6, top, mix(wall, (0, 0, 0), 0.2))
  dark = mix(wall, (30, 40, 80), 0.8 if lit else 0.55)
  with pen.tinted(None if lit else pen.tint):
    for row in range(3):
      for column in (-5, 0, 5):
        bright = lit and (vary[2] * 97 + row * 3.7 + column * 1.3) % 1 > 0.4
        y = top + 3 + row * 7
        pen.rectangle(x + column - 1.4, y, x + column + 1.4, y + 4, (255, 230, 130) if bright else dark)


def draw_desert(pen: Pen, view: View) -> None:
  """Pyramids, dunes and cacti."""
  draw_sky(pen, view)
  with pen.tinted(TINT[view.time]):
    for x, vary, _ in along(pen, view, 0.2, 40):
      height = 24 + 6 * vary[0]
      top, foot = complex(x, 50 - height), x + 0.8 * height + 50j
      pen.polygon((x - 0.8 * height + 50j, top, foot), (232, 190, 120), 0)
      pen.polygon((x + 0.12 * height + 50j, top, foot), (196, 148, 92), 0)
    for x, vary, _ in along(pen, view, 0.5, 30, 3):
      pen.ellipse(x + 52j, 22, 7 + 3 * vary[0], (240, 204, 132), 0)
    across(pen, FLOOR, 65, (248, 214, 142))
    across(pen, 58, 65, (230, 190, 120))
    for x, vary, _ in along(pen, view, 1.0, 33, 5):
      x += 8 * vary[0]
      pen.stroke((x + 50.5j, x + 37j), 3.4, (80, 150, 96), 0)
      pen.stroke((x + 46j, x - 4 + 46j, x - 4 + 41j), 2.4, (80, 150, 96), 0)
      pen.stroke((x + 44j, x + 4 + 44j, x + 4 + 39j), 2.4, (66, 132, 84), 0)
