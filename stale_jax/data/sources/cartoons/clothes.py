"""What is drawn on a trunk: garments, their patterns, vests and dresses."""

import math
from collections.abc import Callable
from typing import NamedTuple

from stale_jax.data.sources.cartoons.cast import Actor
from stale_jax.data.sources.cartoons.pen import Colour, Pen, mix

WHITE, NIGHT, YELLOW = (252, 250, 246), (20, 16, 40), (255, 248, 150)


class Trunk(NamedTuple):
  """The place of a trunk: `trunk(u, v)` is u units above the hip and v units in front of the spine.

  Attributes:
    hip: the middle of the hip.
    up: unit vector from the hip to the chest.
    hips, shoulders: half widths.
  """

  hip: complex
  up: complex
  hips: float
  shoulders: float

  def __call__(self, u: float, v: float) -> complex:
    return self.hip + self.up * (u - 1j * v)

  def line(self, u: float, width: float) -> tuple[complex, complex]:
    """Across the trunk at height u, as far as the share `width` of its half width there."""
    half = width * (self.hips + (self.shoulders - self.hips) * min(u / 4, 1))
    return self(u, -half), self(u, half)


def draw_trunk(pen: Pen, actor: Actor, trunk: Trunk) -> None:
  """Draws the garment of `actor`, without the sleeves."""
  character, hips, shoulders = actor.character, trunk.hips, trunk.shoulders
  if character.dress:
    _draw_dress(pen, actor, trunk)
  else:
    right = [(-1.6, hips), (4, shoulders), (8.6, 0.98 * shoulders), (10.4, 0.55 * shoulders)]
    outline = [trunk(u, -v) for u, v in right[::-1]] + [trunk(u, v) for u, v in right]
    pen.polygon(outline, actor.colour)
  PATTERNS[character.pattern](pen, trunk, actor.colour)
  if character.vest:
    back = [(-1.6, -hips), (-1.6, -0.6), (6, 0.2), (10.2, -1.0), (8.6, -shoulders)]
    front = [(-1.6, hips), (-1.6, 0.62 * hips), (6, 0.62 * shoulders), (10.2, 0.5 * shoulders)]
    for part in (back, [*front, (8.6, shoulders)]):
      pen.polygon([trunk(u, v) for u, v in part], character.vest, 0)


def _draw_dress(pen: Pen, actor: Actor, trunk: Trunk) -> None:
  flare, waist = 1.75 * trunk.hips, 0.9 * trunk.hips
  hem = trunk.hip - trunk.up * actor.character.dress
  hem = complex(hem.real, max(hem.imag, 1.0))
  side = -1j * trunk.up
  corners = [trunk(10, -waist), trunk(10, waist), trunk(0, waist), hem + side * flare, hem - side * flare]
  pen.polygon([*corners, trunk(0, -waist)], actor.colour)
  edge = hem + 0.8 * trunk.up
  pen.stroke((edge - 0.93 * flare * side, edge + 0.93 * flare * side), 1.4, mix(actor.colour, NIGHT, 0.3), 0)


def _plain(pen: Pen, trunk: Trunk, colour: Colour) -> None:
  pass


def _sash(pen: Pen, trunk: Trunk, colour: Colour) -> None:
  pen.stroke(trunk.line(1, 0.85), 1.4, mix(colour, (255, 240, 150), 0.7), 0)


def _stripes(pen: Pen, trunk: Trunk, colour: Colour) -> None:
  for u in (2.2, 6.4):
    pen.stroke(trunk.line(u, 0.86), 1.4, WHITE, 0)


def _plaid(pen: Pen, trunk: Trunk, colour: Colour) -> None:
  dark = mix(colour, NIGHT, 0.4)
  for u in (2.4, 6.6):
    pen.stroke(trunk.line(u, 0.9), 1.2, dark, 0)
  for v in (-2.3, 2.3):
    pen.stroke((trunk(-1, v), trunk(9, v)), 1.2, dark, 0)


def _reflectors(pen: Pen, trunk: Trunk, colour: Colour) -> None:
  pen.stroke(trunk.line(3, 0.9), 1.6, YELLOW, 0)
  for v in (-2.0, 1.4):
    pen.stroke((trunk(3, v), trunk(10, v)), 1.5, YELLOW, 0)


def _star(pen: Pen, trunk: Trunk, colour: Colour) -> None:
  pen.star(trunk(5, 1.0), 3.1, (255, 250, 230), turn=math.pi)


def _panel(pen: Pen, trunk: Trunk, colour: Colour) -> None:
  corners = ((3, -1.6), (3, 3), (7.4, 3), (7.4, -1.6))
  pen.polygon([trunk(u, v) for u, v in corners], (70, 220, 220), 0.4)


def _sailor(pen: Pen, trunk: Trunk, colour: Colour) -> None:
  pen.polygon((*trunk.line(-1.4, 0.98), *trunk.line(0.2, 0.98)[::-1]), WHITE, 0)
  pen.polygon((trunk(9.8, -2.6), trunk(9.8, 3.6), trunk(4.6, 1.2)), WHITE, 0)


def _badge(pen: Pen, trunk: Trunk, colour: Colour) -> None:
  pen.stroke(trunk.line(-0.6, 0.9), 1.5, (40, 32, 30), 0)
  pen.ellipse(trunk(-0.6, 1.0), 0.9, 0.9, (255, 214, 80), 0)
  pen.star(trunk(6.4, 1.7), 2.0, (255, 224, 90), turn=math.pi)


PATTERNS: dict[str, Callable[[Pen, Trunk, Colour], None]] = {
  "": _plain,
  "sash": _sash,
  "stripes": _stripes,
  "plaid": _plaid,
  "reflectors": _reflectors,
  "star": _star,
  "panel": _panel,
  "sailor": _sailor,
  "badge": _badge,
}
