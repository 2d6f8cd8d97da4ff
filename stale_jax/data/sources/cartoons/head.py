"""Heads: faces, hair, beards and hats. The centre of the head is 0, x is forwards and y is up."""

import math

from stale_jax.data.sources.cartoons.cast import Actor
from stale_jax.data.sources.cartoons.pen import INK, Colour, Frame, Pen, arc, mix, shape
from stale_jax.data.sources.cartoons.skeleton import Pose

RADIUS = 6.2
WHITE, DARK, STEEL = (255, 255, 255), (34, 30, 44), (196, 206, 220)
_INNER = shape(-3.0 - 3.6j, -1.8 - 0.5j, -1.6 + 2.6j, 3.4 + 3.4j)
# From the forehead over the crown to the nape, and back along the edge of the face.
_CROPPED = shape(*arc(0, 6.5, 6.5, 0.25 * math.pi, 1.24 * math.pi), *_INNER)
_METAL = shape(-5.6 - 5j, 5.8 - 5j, 5.8 + 4.6j, -5.6 + 4.6j)
_MASK = shape(-5.2 + 2.6j, 6.0 + 2.8j, 6.0 - 1.2j, 2.4 - 1.6j, -3 - 0.8j)
_SHADES = shape(-4.5 + 2.2j, 6.2 + 2.2j, 5.6 - 1.2j, 3.6 - 1.2j, 2.9 + 0.6j, 1.9 - 1.2j, -0.4 - 1.2j, -1 + 1j)
_GRIN = shape(0.4 - 2.6j, 4.8 - 2.4j, 2.8 - 4.3j)
_SMILE = shape(0.6 - 2.9j, 2.4 - 3.8j, 4.4 - 3.0j)


def draw_head(pen: Pen, actor: Actor, pose: Pose, at: complex, time: float) -> None:
  """Draws the head of `actor`, with its centre at `at`; `time` moves what dangles."""
  character = actor.character
  skin = mix(STEEL, actor.skin, 0.25) if character.metal else actor.skin
  if character.hairdo == "pigtails":
    for side in (-1, 1):
      bob = 0.5 * math.sin(9 * time + side)
      pen.ellipse(at + 6.4 * side - 1.0 + 1j * (bob - 1.4), 2.4, 3.7, actor.hair, tilt=0.3 * side)
  if character.metal:
    pen.stroke((at + 4.6j, at + 7.6j), 0.9, (120, 130, 150))
    pen.ellipse(at + 8.8j, 1.9, 1.9, actor.hair)
    pen.polygon(_METAL, skin, at=at)
  else:
    pen.ellipse(at, RADIUS, RADIUS * 0.97, skin)
    pen.polygon(_CROPPED, actor.hair, at=at)
    if character.hairdo == "bun":
      pen.ellipse(at - 2.0 + 8.0j, 2.6, 2.4, actor.hair)
    pen.ellipse(at - 1.6 - 0.8j, 1.3, 1.5, mix(skin, (150, 70, 90), 0.16), 0)  # The ear.
  if character.beard:
    chin = shape(-2.8 - 0.6j, 0.2 - 1.6j, 5.6 - 1.2j, 5.4 - 5.0j, 2.6 - 1j * character.beard)
    pen.polygon((*chin, -1.2 - 7.2j, -3.4 - 4j), actor.hair, at=at)
  _draw_eyes(pen, character.eyes, at)
  if not character.metal:
    pen.ellipse(at + 5.7 - 0.9j, 1.5, 1.25, mix(skin, (130, 50, 90), 0.2), 0.3)  # The nose.
  _draw_mouth(pen, "smile" if character.beard else pose.mouth, at)
  if character.hat:
    with pen.within(Frame(c=at)):
      HATS[character.hat](pen, character.hat_colour or actor.colour, actor.colour, time)


def _draw_eyes(pen: Pen, kind: str, at: complex) -> None:
  if kind == "shades":
    pen.polygon(_SHADES, (26, 24, 34), 0, at)
    for x in (0.6, 4.0):
      pen.stroke((x - 0.2j, x + 1.0 + 1.2j), 0.7, (230, 240, 255), 0, at)
    return
  if kind == "mask":
    pen.polygon(_MASK, DARK, 0, at)
  for x in (0.7, 4.0):
    pen.ellipse(at + x + 0.9j, 1.75, 2.45, WHITE, 0.25)
    pen.ellipse(at + x + 0.6 + 0.6j, 1.0, 1.45, INK, 0)


def _draw_mouth(pen: Pen, kind: str, at: complex) -> None:
  if kind == "open":
    pen.ellipse(at + 2.6 - 3.4j, 1.5, 1.3, (112, 44, 70), 0.3)
  elif kind == "grin":
    pen.polygon(_GRIN, WHITE, 0.35, at)
  else:
    pen.stroke(_SMILE, 0.8, INK, 0, at)


def _beanie(pen: Pen, colour: Colour, garment: Colour, time: float) -> None:
  pen.polygon(_BEANIE, colour)
  pen.stroke((-6.0 + 2.9j, 6.0 + 2.9j), 1.9, mix(colour, WHITE, 0.25), 0.4)


def _bandana(pen: Pen, colour: Colour, garment: Colour, time: float) -> None:
  pen.stroke((-5.4 + 2.4j, complex(-9.0, 0.6 + math.sin(9 * time))), 1.8, colour)
  pen.polygon(_BANDANA, colour)
  for dot in (-2.6 + 4.2j, 1.0 + 4.8j, 4.0 + 3.4j):
    pen.ellipse(dot, 0.7, 0.7, WHITE, 0)


def _cap(pen: Pen, colour: Colour, garment: Colour, time: float) -> None:
  pen.polygon(_CAP, colour)
  pen.polygon(_PEAK, (30, 26, 40))
  pen.ellipse(2.4 + 6.4j, 1.3, 1.3, (255, 226, 100), 0)


def _cowboy(pen: Pen, colour: Colour, garment: Colour, time: float) -> None:
  pen.polygon(_CROWN, colour)
  pen.polygon(_BRIM, colour)
  pen.stroke((-4.0 + 4.2j, 4.6 + 4.2j), 1.2, (90, 48, 26), 0)


def _helmet(pen: Pen, colour: Colour, garment: Colour, time: float) -> None:
  pen.polygon(_HELMET, colour)
  pen.stroke((-6.4 + 2.9j, 8.6 + 2.9j), 1.6, colour)
  pen.stroke((0.4 + 4.8j, 0.4 + 8.4j), 1.5, mix(colour, WHITE, 0.6), 0)


def _wizard(pen: Pen, colour: Colour, garment: Colour, time: float) -> None:
  pen.polygon(_CONE, colour)
  pen.stroke((-7.8 + 3.2j, 8.0 + 3.2j), 1.7, mix(colour, (20, 16, 40), 0.3))
  pen.star(0.2 + 7.2j, 2.2, (255, 236, 120), turn=math.pi)


def _baseball(pen: Pen, colour: Colour, garment: Colour, time: float) -> None:
  pen.polygon(_BEANIE, colour)
  pen.stroke((3 + 2.6j, 9.4 + 2.2j), 1.6, mix(colour, WHITE, 0.3))


def _sailor(pen: Pen, colour: Colour, garment: Colour, time: float) -> None:
  pen.polygon(_SAILOR, colour)
  pen.stroke((-5.6 + 3.8j, 5.8 + 3.8j), 1.3, garment, 0)


_BEANIE = arc(2.1j, 6.4, 5.4, 0.06, math.pi - 0.02)
_BANDANA = arc(2.0j, 6.4, 4.6, 0.1, math.pi + 0.2)
_HELMET = arc(2.6j, 6.6, 6.2, 0.0, math.pi)
_CAP = shape(-6.0 + 3.0j, 6.0 + 3.0j, 7.0 + 7.4j, -0.5 + 8.8j, -7.0 + 6.6j)
_PEAK = shape(1.0 + 3.2j, 8.8 + 2.2j, 8.0 + 4.2j, 1 + 4.6j)
_CROWN = shape(-4.4 + 3.0j, 5.0 + 3.0j, 4.4 + 9.0j, 0.4 + 7.8j, -3.8 + 9.0j)
_BRIM = shape(-10 + 5.2j, -5 + 3.0j, 5.4 + 3.0j, 10.4 + 5.2j, 7 + 2.2j, -6.4 + 2.2j)
_CONE = shape(-5.6 + 3.4j, 5.8 + 3.4j, 1.8 + 9j, -3.6 + 13j)
_SAILOR = shape(-5.8 + 3.2j, 6.0 + 3.2j, 6.8 + 6.4j, 3 + 6.2j, 2 + 9j, -3 + 9j, -3.6 + 6.2j, -6.8 + 6.4j)
# Hat -> a function of the pen, the colours of the hat and of the garment, and the time.
HATS = {
  "beanie": _beanie,
  "bandana": _bandana,
  "cap": _cap,
  "cowboy": _cowboy,
  "helmet": _helmet,
  "wizard": _wizard,
  "baseball": _baseball,
  "sailor": _sailor,
}
