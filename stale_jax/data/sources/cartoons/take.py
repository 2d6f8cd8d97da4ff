"""A take: what is decided about a clip before it is drawn, and where its figures are at any time."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from stale_jax.data.sources.cartoons.actions import ACTIONS, PAIR, TAU, TRAVEL, Timing, holder
from stale_jax.data.sources.cartoons.backdrop import View
from stale_jax.data.sources.cartoons.cast import BUILDS, CHARACTERS, COLOURS, HAIRS, SKINS, Actor
from stale_jax.data.sources.cartoons.labels import Labels, name
from stale_jax.data.sources.cartoons.pen import LINE
from stale_jax.data.sources.cartoons.skeleton import HEAD, MIDDLE, SHOULDERS, SIZE, Pose

GROUND = 57.0  # y of the ground below the first figure; the second one is one unit farther.
SCENE_LENGTH = 300.0  # The camera starts anywhere along it.
SWAY = 4.0  # Seconds in which a moving camera sways once, so that it does not leave those who stay.
LAG = 2.5  # How far a figure that a camera follows moves on the picture.
PAN = 8.0  # How far a camera sways before a figure that stays.
CROWDED_PAN = 2.8  # The same if there are two, or if one throws.
APART = {"chases": 12.2, "gives": 12.5, "dances_with": 10.5}  # Half the distance of two figures.
SMALLER = dict.fromkeys((*PAIR, "cartwheels"), 0.92)  # Sizes of figures that need more room.
THROWER = -12.2  # Where those who throw stand, so that one sees where to.
CAR = 15.0  # Half of the length of a car.
SHIFT, LEAST_SHIFT = 6.0, 1.5  # Bounds of the random shift of a path, if there is room.


class Figure(NamedTuple):
  """A figure on the picture at one moment.

  Attributes:
    actor, pose: who it is, and its pose.
    ground: the point of the picture below it.
    facing: 1 if it faces right, -1 if left.
    prop: what it holds; "none" for nothing.
  """

  actor: Actor
  pose: Pose
  ground: complex
  facing: int
  prop: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Take:
  """What is decided about a clip.

  Attributes:
    labels: the factors.
    actors: one or two.
    timings: the timing of each actor.
    start: shift of the figures on the picture.
    scroll: where along the scene the camera starts.
    random: numbers from 0 to 1 that vary the scenery.
  """

  labels: Labels
  actors: tuple[Actor, ...]
  timings: tuple[Timing, ...]
  start: float
  scroll: float
  random: np.ndarray

  @property
  def action(self) -> str:
    """The name of the action."""
    return name(self.labels, "action")

  @property
  def facing(self) -> int:
    """1 if the first figure faces right, -1 if left."""
    return 1 if name(self.labels, "direction") == "right" else -1

  def facing_of(self, role: int) -> int:
    """1 if the first (0) or second (1) figure faces right, -1 if left."""
    return -self.facing if role and self.action != "chases" else self.facing

  @property
  def camera_moves(self) -> bool:
    """Whether the camera moves."""
    return name(self.labels, "camera") == "moves"

  def view(self, time: float) -> View:
    """What the camera sees of the scene at `time`, in seconds."""
    return View(name(self.labels, "time"), self.scroll + self._camera(time), self.random)

  def pose(self, role: int, time: float) -> Pose:
    """The pose of the first (0) or second (1) actor."""
    return ACTIONS[self.action](time, self.timings[role])

  def figures(self, time: float) -> tuple[Figure, ...]:
    """The figures on the picture at `time`, the first one first."""
    middle, apart = self._middle(time), APART.get(self.action, 0.0)
    prop = name(self.labels, "prop")
    found = []
    for role, actor in enumerate(self.actors):
      x = middle + self.facing * (apart if role else -apart)
      holds = prop if self.action != "gives" or holder(time) == role else "none"
      found.append(
        Figure(actor, self.pose(role, time), complex(x, GROUND - role), self.facing_of(role), holds)
      )
    return tuple(found)

  def _middle(self, time: float) -> float:
    """x of the figure, or between two."""
    if self.action in TRAVEL:
      if self.camera_moves:
        return self.start + self._lag(time)
      timing, action = self.timings[0], ACTIONS[self.action]
      half_way = (action(0.0, timing).x + action(timing.duration, timing).x) / 2
      return self.start + self.facing * (self.pose(0, time).x - half_way)
    thrower = self.facing * THROWER if self.action == "throws" else 0.0
    return self.start + thrower - self._camera(time)

  def _camera(self, time: float) -> float:
    """How far the camera has moved."""
    if not self.camera_moves:
      return 0.0
    if self.action in TRAVEL:
      return self.facing * self.pose(0, time).x - self._lag(time)
    return -_pan(self.action) * self.facing * math.cos(TAU * time / SWAY)

  def _lag(self, time: float) -> float:
    return -LAG * self.facing * math.cos(TAU * time / SWAY)


def _pan(action: str) -> float:
  return CROWDED_PAN if action in PAIR or action == "throws" else PAN


def draw_take(rng: np.random.Generator, labels: Labels, half_width: float, duration: float) -> Take:
  """Draws a take.

  Args:
    rng: random generator.
    labels: the factors of the clip.
    half_width: of the picture, in units (see `pen`).
    duration: of the clip, in seconds.
  """
  first = _actor(labels, "", *(name(labels, factor) for factor in ("skin", "hair", "build")))
  identity = [tuple(names)[rng.integers(len(names))] for names in (SKINS, HAIRS, BUILDS)]
  phase, shift = float(rng.random()), float(2 * rng.random() - 1)
  scroll, random = SCENE_LENGTH * rng.random(), rng.random((16, 5))
  action = name(labels, "action")
  actors, pace, room = (first,), 1.0, 5.0
  if action in PAIR:
    actors, room = (first, _actor(labels, "2", *identity)), 0.5
  elif action in TRAVEL and name(labels, "camera") == "still":
    timing = Timing(phase, duration)
    length = ACTIONS[action](duration, timing).x - ACTIONS[action](0.0, timing).x
    space = max(half_width - _extent(action, first), LEAST_SHIFT)
    pace = min(1.0, 2 * (space - LEAST_SHIFT) / max(length, 1e-6))
    room = min(space - pace * length / 2, SHIFT)
  elif action == "throws":
    room = LEAST_SHIFT
  # The second figure is out of step, by half a cycle if both dance.
  offsets = (0.0, 0.5 if action == "dances_with" else 0.4)
  timings = [Timing((phase + offset) % 1, duration, pace, role) for role, offset in enumerate(offsets)]
  return Take(
    labels=labels,
    actors=actors,
    timings=tuple(timings[: len(actors)]),
    start=room * shift,
    scroll=scroll,
    random=random,
  )


def _extent(action: str, actor: Actor) -> float:
  """How far a figure that travels extends to a side of its place, in units of the picture."""
  extent = TRAVEL[action] + abs(SHOULDERS[0].real) * (actor.width - 1)
  if action == "cartwheels":  # Hats are on the side, too.
    extent = max(extent, HEAD - MIDDLE + actor.character.top)
  return max(extent * SIZE * actor.size, CAR if action in ("to_car", "from_car") else 0.0) + LINE


def _actor(labels: Labels, which: str, skin: str, hair: str, build: str) -> Actor:
  return Actor(
    character=CHARACTERS[name(labels, "character" + which)],
    colour=COLOURS[name(labels, "colour" + which)],
    skin=SKINS[skin],
    hair=HAIRS[hair],
    build=BUILDS[build],
    scale=SMALLER.get(name(labels, "action"), 1.0),
  )
