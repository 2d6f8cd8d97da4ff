"""Scenes under a roof: a museum and a stage. The light tells the time of day."""

import math

import cv2

from stale_jax.data.sources.cartoons.backdrop import FLOOR, SKY, TINT, View, across, along
from stale_jax.data.sources.cartoons.pen import Pen, mix, shape

_FRAME = (222, 176, 84)
_LIGHT = {name: tuple(0.35 + 0.65 * channel for channel in tint) for name, tint in TINT.items()}
_HILLS = shape(-5.4 + 29.4j, -5.4 + 24j, -1 + 18j, 2 + 23j, 5.4 + 20j, 5.4 + 29.4j)
_SHOULDERS = shape(-4 + 29.4j, 23j, 4 + 29.4j)
_TILE = shape(50j, 8 + 50j, 4 + 65j, -6 + 65j)
_CURTAIN = {"day": (92, 62, 140), "sunset": (150, 58, 92), "night": (36, 32, 84)}
_BEAMS = ((255, 226, 120), (120, 230, 255), (255, 130, 210))


def draw_museum(pen: Pen, view: View) -> None:
  """Windows and paintings in turn, pillars, and a tiled floor."""
  with pen.tinted(_LIGHT[view.time]):
    across(pen, pen.top - 1, 42, (208, 190, 168))
    across(pen, 41, 42.4, (130, 96, 80))
    across(pen, 42, FLOOR, (168, 132, 110))
    for x, vary, number in along(pen, view, 0.55, 26):
      _draw_frame(pen, x, view.time if number % 2 else "", vary[0])
    across(pen, FLOOR, 65, (186, 176, 178))
    for x, _, _ in along(pen, view, 1.0, 16):
      pen.polygon(_TILE, (160, 148, 156), 0, x)
    for x, _, _ in along(pen, view, 0.8, 47, 3):
      pen.rectangle(x - 3.6, pen.top - 1, x + 3.6, 50, (236, 230, 222))
      pen.rectangle(x + 1.2, pen.top - 1, x + 3.6, 50, (204, 194, 190))
      pen.rectangle(x - 5, 47, x + 5, 51, (222, 214, 206))
      pen.rectangle(x - 5, pen.top - 1, x + 5, pen.top + 3.4, (222, 214, 206))


def _draw_frame(pen: Pen, x: float, time: str, vary: float) -> None:
  """A window through which the sky is seen at `time`; a painting if there is no time."""
  pen.rectangle(x - 7, 12, x + 7, 31, _FRAME)
  inside = (x - 5.4, 13.6, x + 5.4, 29.4)
  if time:
    with pen.tinted(None):
      pen.rectangle(*inside, SKY[time][time != "night"])
    pen.rectangle(x - 0.6, 13.6, x + 0.6, 29.4, _FRAME)
    pen.rectangle(x - 5.4, 20.8, x + 5.4, 22, _FRAME)
  elif vary < 0.5:
    pen.rectangle(*inside, (150, 206, 226))
    pen.polygon(_HILLS, (96, 146, 104), 0, x)
  else:
    pen.rectangle(*inside, (110, 66, 74))
    pen.ellipse(x + 20j, 2.6, 3.2, (208, 190, 230), 0)
    pen.polygon(_SHOULDERS, (60, 56, 96), 0, x)


def draw_stage(pen: Pen, view: View) -> None:
  """A backdrop in folds, boards, and a curtain on both sides."""
  base = _CURTAIN[view.time]
  across(pen, pen.top - 1, FLOOR, base)
  for x, _, _ in along(pen, view, 0.4, 9):
    pen.rectangle(x, pen.top - 1, x + 4, FLOOR, mix(base, (0, 0, 0), 0.18))
  with pen.tinted(_LIGHT[view.time]):
    across(pen, FLOOR, 65, (170, 112, 70))
    across(pen, FLOOR, 51.4, (226, 168, 110))
    for x, _, _ in along(pen, view, 1.0, 12):
      pen.rectangle(x, 51.4, x + 0.8, 65, (138, 86, 54))
    for fold in range(3):
      colour, width = mix((206, 36, 58), (60, 0, 30), 0.3 * (fold % 2) + 0.05), 8 - 2.4 * fold
      pen.rectangle(-pen.half_width - 1, pen.top - 1, -pen.half_width + width, FLOOR, colour)
      pen.rectangle(pen.half_width - width, pen.top - 1, pen.half_width + 1, FLOOR, colour)


def animate_stage(pen: Pen, view: View, time: float) -> None:
  """Beams of light that swing, and a ball that turns."""
  rows = pen.canvas[: pen.row(FLOOR)]
  dark = rows.copy()
  for number, colour in enumerate(_BEAMS):
    x = 22 * (number - 1)
    swing = 10 * math.sin(1.6 * time + 2.1 * number + 6 * view.random[0, 0])
    top = 1j * (pen.top - 1)
    pen.polygon((x - 1 + top, x + 1 + top, x + swing + 9 + 50j, x + swing - 9 + 50j), colour, 0)
  cv2.addWeighted(rows, 0.32, dark, 0.68, 0, rows)
  ball = 10 * (view.random[3, 0] - 0.5) + 1j * (pen.top + 9.5)
  pen.stroke((complex(ball.real, pen.top - 1), ball - 3.5j), 0.7, (200, 200, 210), 0)
  pen.ellipse(ball, 4.4, 4.4, (196, 206, 226), 0)
  for number in range(6):
    angle = 1.05 * number + 2 * time
    place = ball + complex(2.8 * math.cos(angle), 2.6 * math.sin(angle))
    pen.ellipse(place, 0.9, 0.9, ((255, 255, 255), (140, 160, 220))[number % 2], 0)
