"""What a figure turns into or makes appear: a car, the cloud of a transformation, the stars of a spell."""

import math

from stale_jax.data.sources.cartoons.cast import Actor
from stale_jax.data.sources.cartoons.pen import INK, Pen, arc, mix, scaled, shape
from stale_jax.data.sources.cartoons.skeleton import Pose

WHEELS, WHEEL_RADIUS = (-8.0 + 3.1j, 8.4 + 3.1j), 3.5
GLASS, RUBBER, STEEL = (190, 232, 250), (44, 40, 52), (214, 214, 224)
_CABIN = shape(-8.5 + 9j, -6.2 + 16.4j, 3.4 + 16.4j, 7.0 + 9j)
_REAR = shape(-6.6 + 9.6j, -5.2 + 14.8j, -1.4 + 14.8j, -1.4 + 9.6j)
_FRONT = shape(0.2 + 9.6j, 0.2 + 14.8j, 2.7 + 14.8j, 5.2 + 9.6j)
_CHASSIS = shape(-14 + 3.2j, -14 + 8.4j, -12.4 + 10j, 11 + 9.8j, 14.6 + 7.6j, 14.8 + 3.2j)
_CLOUD = arc(0, 9, 8, 0.3, 0.3 + 2 * math.pi * 7 / 8, 8)
SPARKS = ((255, 232, 90), (255, 255, 255), (255, 150, 220))


def draw_car(pen: Pen, actor: Actor, pose: Pose, ground: complex, facing: int) -> None:
  """Draws the car that `actor` has become: it has the colours of the garment and of the skin."""
  width = facing / math.sqrt(pose.stretch)
  with pen.within(scaled(width, -pose.stretch, ground, pose.lean * facing)):
    pen.polygon(_CABIN, actor.colour)
    for window in (_REAR, _FRONT):
      pen.polygon(window, GLASS, 0.4)
    pen.ellipse(2.2 + 11.2j, 1.7, 1.7, actor.skin, 0.3)
    pen.polygon(_CHASSIS, actor.colour)
    pen.stroke((-13.4 + 4.4j, 14 + 4.4j), 1.3, mix(actor.colour, (20, 16, 40), 0.35), 0)
    pen.ellipse(12.4 + 7.6j, 1.9, 1.9, (255, 252, 220), 0.4)
    pen.ellipse(13.0 + 7.4j, 0.8, 1.0, INK, 0)
    pen.stroke((9.8 + 5.2j, 11.6 + 4.6j, 13.6 + 5.6j), 0.8, INK, 0)
    spoke = 1.6 * complex(math.cos(pose.x / WHEEL_RADIUS), -math.sin(pose.x / WHEEL_RADIUS))
    for wheel in WHEELS:
      pen.ellipse(wheel, WHEEL_RADIUS, WHEEL_RADIUS, RUBBER)
      pen.ellipse(wheel, 1.7, 1.7, STEEL, 0)
      pen.stroke((wheel - spoke, wheel + spoke), 0.8, (90, 86, 100), 0)


def draw_cloud(pen: Pen, centre: complex, size: float) -> None:
  """Draws the cloud of a transformation, of size 0 to 1."""
  if size <= 0:
    return
  puffs = [centre + size * complex(puff) for puff in _CLOUD]
  rx, ry = round(5.2 * size + 1, 2), round(5.0 * size + 1, 2)
  for puff in puffs:
    pen.ellipse(puff, rx, ry, (255, 255, 255))
  for puff in puffs:
    pen.ellipse(puff, rx, ry, (255, 255, 255), 0)
  pen.star(centre, 10 * size, (255, 226, 80), 0.5, size, corners=7)


def draw_spell(pen: Pen, hand: complex, since: float, facing: int) -> None:
  """Draws the stars that fly from `hand`, `since` seconds after a spell was cast."""
  far = 3 + 18 * (1 - math.exp(-2.2 * since))
  radius = 3.4 * max(0.0, min(1.0, 1.5 - since) * max(0.45, 1 - 0.4 * since))
  if not radius:
    return
  for number in range(9):
    angle = number * 0.698 + 0.5 * since * facing
    distance = far * (0.55 + 0.45 * (number * 7 % 5) / 4)
    place = hand + distance * complex(math.cos(angle), 0.8 * math.sin(angle))
    pen.star(place, radius, SPARKS[number % 3], 0.0, 3 * since + number, corners=4)
