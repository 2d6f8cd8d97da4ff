"""Draws a figure in a pose: limbs, trunk and head, with what it holds."""

import math

from stale_jax.data.sources.cartoons.cast import Actor
from stale_jax.data.sources.cartoons.clothes import NIGHT, Trunk, draw_trunk
from stale_jax.data.sources.cartoons.effects import draw_car, draw_spell
from stale_jax.data.sources.cartoons.head import draw_head
from stale_jax.data.sources.cartoons.pen import Frame, Pen, mix, scaled
from stale_jax.data.sources.cartoons.props import SWING, draw_prop
from stale_jax.data.sources.cartoons.skeleton import (
  ANKLE,
  ARM,
  HIP,
  MIDDLE,
  SHIN,
  SHOULDERS,
  SIZE,
  THIGH,
  Pose,
  bend,
  direction,
  reach,
)

GLOVE, METAL_GLOVE = (252, 252, 252), (150, 160, 176)
WING = (206, 244, 255)


def draw_figure(
  pen: Pen, actor: Actor, pose: Pose, ground: complex, facing: int, prop: str, time: float
) -> None:
  """Draws a figure.

  Args:
    pen: draws in the coordinates of the picture.
    actor: who is drawn.
    pose: its pose.
    ground: the point on the ground below it.
    facing: 1 if it faces right, -1 if left.
    prop: what its near hand holds; "none" for nothing.
    time: seconds since the beginning of the clip, for what dangles and flutters.
  """
  if pose.car:
    draw_car(pen, actor, pose, ground, facing)
    return
  frame = figure_frame(actor, pose, ground, facing)
  body = _Body(pen, actor, pose)
  with pen.within(frame):
    body.draw_behind(time)
    draw_trunk(pen, actor, body.trunk)
    draw_head(pen, actor, pose, body.head, time)
    body.draw_arm(1)
  hand = frame(body.hands[1])
  if prop != "none" and pose.thrown is None:
    swing = SWING.get(prop, 0.0) * (0.9 - 0.25 * (sum(pose.arms[1]) + pose.lean))
    draw_prop(pen, prop, hand, facing, facing * (swing + pose.turn * (prop != "balloon")), time)
  with pen.within(frame):
    body.draw_hand(1)
  if pose.spell is not None:
    draw_spell(pen, hand, pose.spell, facing)


def figure_frame(actor: Actor, pose: Pose, ground: complex, facing: int) -> Frame:
  """The map from the coordinates of a figure (see `skeleton`) to those of the picture."""
  size = SIZE * actor.size
  width = facing * pose.face * size / math.sqrt(pose.stretch)
  place = ground + complex(facing * pose.face * pose.sway * size, -pose.lift * size)
  frame = scaled(width, -size * pose.stretch, place)
  if not pose.turn:
    return frame
  middle = ground - 1j * (MIDDLE + pose.lift) * size
  rotation = scaled(1, 1, 0, pose.turn * facing)
  return Frame(c=middle).after(rotation).after(Frame(c=-middle)).after(frame)


class _Body:
  """The joints of a figure, and the parts that are drawn from them.

  Attributes:
    trunk: the place of the trunk.
    head: the centre of the head.
    hands: the far and the near hand.
  """

  def __init__(self, pen: Pen, actor: Actor, pose: Pose):
    self._pen, self._actor, self._pose = pen, actor, pose
    up = -direction(-pose.lean)
    self.trunk = Trunk(1j * (HIP - pose.dip), up, 3.4 * actor.width, 4.1 * actor.width)
    neck = complex(math.sin(pose.lean * 0.6 + pose.nod * 0.5), math.cos(pose.lean * 0.6))
    self.head = self.trunk(9, 0) + 6.6 * neck
    self._arms = [self._arm(side) for side in (0, 1)]
    self.hands = [hand for _, _, hand in self._arms]

  def draw_behind(self, time: float) -> None:
    """Draws what the trunk hides in part: wings, the far arm and the legs."""
    if self._actor.character.wings:
      flap, chest = 0.35 * math.sin(20 * time), self.trunk(9, 0)
      self._pen.ellipse(chest - 5.5 + 3.0j, 6.1, 3.0, WING, tilt=-0.55 - flap)
      self._pen.ellipse(chest - 5.5 - 3.5j, 4.3, 3.0, WING, tilt=0.35 + 0.6 * flap)
    self.draw_arm(0)
    self.draw_hand(0)
    for side in (0, 1):
      self._draw_leg(side)

  def draw_arm(self, side: int) -> None:
    """Draws the far (0) or near (1) arm without its hand."""
    character = self._actor.character
    sleeve = self._actor.skin if character.wings else self._actor.colour
    self._pen.stroke(bend(*self._arms[side]), 2.8, mix(sleeve, NIGHT, 0.0 if side else 0.25))

  def draw_hand(self, side: int) -> None:
    """Draws the far (0) or near (1) hand."""
    self._pen.ellipse(self.hands[side], 1.9, 1.9, METAL_GLOVE if self._actor.character.metal else GLOVE)

  def _arm(self, side: int) -> tuple[complex, complex, complex]:
    """Shoulder, elbow and hand."""
    shoulder, elbow = self._pose.arms[side]
    root = self.trunk(SHOULDERS[side].imag, SHOULDERS[side].real * self._actor.width)
    middle = root + ARM * direction(shoulder + self._pose.lean)
    return root, middle, middle + ARM * direction(shoulder + elbow + self._pose.lean)

  def _draw_leg(self, side: int) -> None:
    actor, foot = self._actor, self._pose.feet[side]
    shade = 0.0 if side else 0.22
    root = self.trunk(0, (1.17 if side else -1.17) * actor.width)
    knee, ankle = reach(root, foot + 1j * ANKLE, THIGH, SHIN)
    trousers = actor.character.legs or (actor.colour if actor.character.dress > 8 else actor.skin)
    self._pen.stroke(bend(root, knee, ankle), 3.1, mix(trousers, NIGHT, shade))
    shoes = actor.character.shoes or actor.colour
    self._pen.ellipse(ankle + 1.2 - 0.1j, 3.0, 1.75, mix(shoes, NIGHT, 0.7 * shade), tilt=0.12 * foot.imag)
