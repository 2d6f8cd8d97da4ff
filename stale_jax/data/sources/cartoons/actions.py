"""The fifteen actions: the pose of a figure as a function of continuous time.

Actions go on in clips of any length: gaits, dances and twirls are periodic; throws and spells repeat every
PERIOD seconds; a gift is given back after PERIOD seconds; a car goes on driving.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

from stale_jax.data.sources.cartoons.skeleton import Pose, ease, stride

TAU = 2 * math.pi
PERIOD = 2.0  # Seconds between two throws, spells or gifts.
RELEASE = 0.68  # Seconds from the beginning of a throw until the prop leaves the hand.
THROW_DELAY, SPELL_DELAY = 0.15, 0.2  # Greatest delays of the beginning in seconds.
SPELL = 0.6  # Seconds from the beginning of a spell until its stars appear.
HAND_OVER = 0.95  # Seconds from the beginning of a gift until it changes hands.
TO_CAR, FROM_CAR = 0.55, 1.3  # Times of the transformations.
TOP_SPEED = 47.6  # Of a car, units per second.
JUMP = 1.0  # Seconds from one jump to the next.
CROUCH, LANDING = 0.3, 0.85  # Fractions of a jump at which the feet leave and reach the ground.
WHEEL = 1.1  # Seconds in which a cartwheel turns once.
TWIRL = 0.9  # Seconds in which a twirl turns once.
BEAT = 0.5  # Seconds from one beat of a dance to the next.
HANDS, FEET = (-2.5, 2.5), (-5.2 + 0.8j, 5.2 + 0.8j)  # The stretched limbs of a cartwheel.


class Gait(NamedTuple):
  """Units per second, seconds of one cycle, and the fraction of it in which a foot is on the ground."""

  speed: float
  period: float
  duty: float


GAITS = {
  "walks": Gait(16.0, 1.0, 0.58),
  "runs": Gait(30.0, 0.5, 0.3),
  "sneaks": Gait(9.0, 1.0, 0.62),
  "chases": Gait(30.0, 0.5, 0.3),
}


class Timing(NamedTuple):
  """What the pose depends on besides the time.

  Attributes:
    phase: from 0 to 1, the position in a periodic action at time 0, or a small delay of others.
    duration: seconds of the clip.
    pace: factor of the distance that is covered, so that the path fits into the picture.
    role: 0 for the first figure of a clip and 1 for the second.
  """

  phase: float
  duration: float
  pace: float = 1.0
  role: int = 0


def walks(time: float, timing: Timing) -> Pose:
  """Walks with swinging arms."""
  gait = GAITS["walks"]
  cycle = time / gait.period + timing.phase
  speed, swing, bob = gait.speed * timing.pace, math.cos(TAU * cycle), math.cos(2 * TAU * cycle)
  return Pose(
    x=speed * time,
    dip=0.9 * bob,
    feet=stride(cycle, speed * gait.period * gait.duty, 3.2, gait.duty),
    arms=((-0.75 * swing, 0.35), (0.75 * swing, 0.35)),
    lean=0.06,
    stretch=1 - 0.03 * bob,
    nod=0.05 * math.sin(2 * TAU * cycle),
  )


def runs(time: float, timing: Timing) -> Pose:
  """Runs; both feet are in the air after each step."""
  gait = GAITS["runs"]
  cycle = time / gait.period + timing.phase
  speed, swing = gait.speed * timing.pace, math.cos(TAU * cycle)
  # Both feet are in the air at the end of each half cycle.
  air = math.sin(math.pi * max(0.0, (cycle % 0.5 - gait.duty) / (0.5 - gait.duty)))
  return Pose(
    x=speed * time,
    lift=1.8 * air,
    dip=1.0 * (1 - air),
    feet=stride(cycle, speed * gait.period * gait.duty, 6.0, gait.duty, kick=3.2),
    arms=((-1.15 * swing, 1.5), (1.15 * swing, 1.5)),
    lean=0.32,
    stretch=1 + 0.05 * air,
    mouth="open",
  )


def sneaks(time: float, timing: Timing) -> Pose:
  """Walks with bent knees, leaning forwards."""
  gait = GAITS["sneaks"]
  cycle = time / gait.period + timing.phase
  speed, swing = gait.speed * timing.pace, 0.25 * math.sin(TAU * cycle)
  return Pose(
    x=speed * time,
    dip=3.2 + 0.9 * math.cos(2 * TAU * cycle),
    feet=stride(cycle, speed * gait.period * gait.duty, 5.5, gait.duty),
    arms=((1.25 + swing, 0.9), (1.0 - swing, 1.1)),
    lean=0.42,
    nod=-0.25,
    mouth="grin",
  )


def jumps(time: float, timing: Timing) -> Pose:
  """Crouches, jumps forwards, and lands with bent knees."""
  number, share = divmod(time / JUMP + timing.phase, 1)
  far = 17.0 * timing.pace
  if share < CROUCH:
    crouch = math.sin(math.pi / 2 * share / (0.8 * CROUCH)) if share < 0.8 * CROUCH else 0.6
    return Pose(
      x=far * number,
      dip=3.4 * crouch,
      stretch=1 - 0.2 * crouch,
      arms=((-1.1 * crouch, 0.2), (-0.9 * crouch, 0.2)),
      lean=0.25 * crouch,
    )
  if share < LANDING:
    flight = (share - CROUCH) / (LANDING - CROUCH)
    height = 4 * flight * (1 - flight)
    return Pose(
      x=far * (number + flight),
      lift=8.8 * height,
      stretch=1 + 0.14 * abs(1 - 2 * flight),
      feet=(complex(-2.4 - 1.2 * height, 2.6 * height), complex(2.4, 4.6 * height)),
      arms=((-2.2, -0.2), (2.1, 0.2)),
      lean=0.1,
      mouth="open",
    )
  crouch = 1 - (share - LANDING) / (1 - LANDING)
  return Pose(x=far * (number + 1), dip=3.0 * crouch, stretch=1 - 0.2 * crouch, arms=((0.5, 0.4), (0.8, 0.4)))


def cartwheels(time: float, timing: Timing) -> Pose:
  """Turns sideways over the hands, once in WHEEL seconds."""
  return Pose(
    x=22.0 * timing.pace * time,
    lift=1.6,  # The radius of a hand or a shoe.
    turn=TAU * (time / WHEEL + timing.phase),
    feet=FEET,
    arms=((HANDS[0], 0.0), (HANDS[1], 0.0)),
    mouth="open",
  )


def dances(time: float, timing: Timing) -> Pose:
  """Sways, and lifts and puts down one foot after the other on the beats."""
  # A foot comes down whenever cycle is an odd multiple of 1/4: on each beat of the music.
  cycle = (time / BEAT + 0.5) / 2 + timing.phase
  swing = math.sin(TAU * cycle)
  sway, tap = 2.0 * swing, 2.2 * max(0.0, math.sin(2 * TAU * cycle))
  far, near = (0.3 + 1.4 * ease(0.5 - 0.75 * side * swing) for side in (-1, 1))
  return Pose(
    sway=sway,
    dip=1.8 * (1 - abs(swing)),
    stretch=0.92 + 0.1 * abs(swing),
    arms=((-far, -1.2), (near, 1.2)),
    lean=-0.12 * swing,
    feet=(complex(-3.2 - sway, tap * (swing < 0)), complex(3.2 - sway, tap * (swing > 0))),
    nod=0.2 * swing,
    mouth="open",
  )


def waves(time: float, timing: Timing) -> Pose:
  """Stands and waves the near hand."""
  cycle = 2 * time + timing.phase
  swing = math.sin(TAU * cycle)
  return Pose(
    arms=((-0.3, 0.3), (2.0 + 0.12 * swing, 0.1 + 0.6 * swing)),
    dip=0.4 + 0.4 * math.cos(TAU * cycle),
    stretch=1 + 0.03 * math.cos(TAU * cycle),
    nod=-0.1 + 0.1 * math.sin(math.pi * cycle),
    mouth="open",
  )


def twirls(time: float, timing: Timing) -> Pose:
  """Turns about the vertical axis, once in TWIRL seconds."""
  cycle = time / TWIRL + timing.phase
  face = math.cos(TAU * cycle)
  return Pose(
    face=math.copysign(max(abs(face), 0.3), face),
    arms=((-1.6, -0.4), (1.6, 0.4)),
    feet=(-0.8 + 0j, 1.2 + 2.2j),
    stretch=1.05,
  )


def throws(time: float, timing: Timing) -> Pose:
  """Swings back, and throws what the near hand holds overhand."""
  time = max(time - THROW_DELAY * timing.phase, 0.0) % PERIOD
  if time < 0.55:
    back = ease(time / 0.45)
    return Pose(
      lean=-0.35 * back,
      arms=((0.9 * back, 0.3), (-2.3 * back, -0.6 * back)),
      feet=(-3.0 + 0j, complex(3.0, 1.6 * back)),
      dip=1.0 * back,
      mouth="grin",
    )
  swing, since = ease((time - 0.55) / 0.2), time - RELEASE
  rest = ease((time - 1.1) / 0.5)
  pose = Pose(
    lean=-0.35 + 0.8 * swing - 0.45 * rest,
    arms=((0.9 - 1.7 * swing + 0.5 * rest, 0.3), (-2.3 - 2.3 * swing - 1.5 * rest, -0.6 + 0.6 * swing)),
    feet=(complex(-3.0, 1.0 * swing * (1 - rest)), complex(3.0, 1.6 * (1 - swing))),
    dip=1.0 - swing,
    sway=1.5 * swing * (1 - rest),
    mouth="open",
  )
  if since < 0:
    return pose
  air = min(since, 1.15)  # Then the prop lies on the ground.
  place = complex(9 + 22 * air, max(26 + 12 * air - 30 * air * air, 3.0))
  return dataclasses.replace(pose, thrown=(place, 6 * air))


def casts(time: float, timing: Timing) -> Pose:
  """Raises the near hand, and points ahead as the stars appear."""
  time = max(time - SPELL_DELAY * timing.phase, 0.0) % PERIOD
  back = ease(time / 0.45)
  if time < SPELL:
    return Pose(
      lean=-0.22 * back,
      dip=1.6 * back,
      stretch=1 - 0.08 * back,
      arms=((-0.4, 0.4), (0.3 + 2.6 * back, 0.3)),
      mouth="grin",
    )
  since = time - SPELL
  point, rest = ease(since / 0.15), ease((since - 1.1) / 0.3)
  return Pose(
    lean=0.23 * point * (1 - rest) - 0.22 * (1 - point),
    lift=0.8 * math.sin(min(4 * since, 1) * math.pi),
    stretch=1.06 - 0.06 * rest,
    arms=((-0.9 + 0.5 * rest, 0.3), (2.9 - 1.3 * point - 1.3 * rest + 0.15 * math.sin(12 * since), 0.0)),
    mouth="open",
    spell=since,
  )


def to_car(time: float, timing: Timing) -> Pose:
  """Crouches, becomes a car, and drives away."""
  return _transformed(time - TO_CAR, timing.pace)


def from_car(time: float, timing: Timing) -> Pose:
  """Drives up as a car, becomes a figure, and stands."""
  pose = _transformed(transformation(timing) - time, timing.pace)
  return dataclasses.replace(pose, x=-pose.x)


def transformation(timing: Timing) -> float:
  """The time at which `from_car` turns back: earlier in a short clip, so that it shows the figure too."""
  return min(FROM_CAR, 0.7 * timing.duration)


def _transformed(since: float, pace: float) -> Pose:
  """The pose `since` seconds after a figure has become a car, or before it does if negative."""
  cloud = max(0.0, 1 - abs(since) / 0.27)
  if since < 0:
    crouch = ease((since + TO_CAR) / 0.45)
    return Pose(
      dip=3 * crouch,
      stretch=1 - 0.22 * crouch,
      arms=((-0.5 * crouch - 0.2, 0.3), (0.5 * crouch + 0.2, 0.3)),
      cloud=cloud,
    )
  driving = max(since - 0.3, 0.0)
  # It gathers speed for a second.
  x = TOP_SPEED / 1.4 * driving**1.4 if driving < 1 else TOP_SPEED * (driving - 1 + 1 / 1.4)
  return Pose(
    x=x * pace,
    car=True,
    stretch=1 + 0.12 * math.exp(-4 * since) * math.cos(16 * since),
    lean=-0.09 * ease(since / 0.3) * (1 - ease((since - 0.5) / 0.4)),
    cloud=cloud,
  )


def gives(time: float, timing: Timing) -> Pose:
  """Hands over a prop, or receives it and is glad."""
  number, time = divmod(time, PERIOD)
  together = ease((time - 0.2) / 0.5) - ease((time - 1.3) / 0.4)
  bob = 0.4 + 0.4 * math.cos(TAU * time)
  if number % 2 == timing.role:  # The giver.
    return Pose(
      lean=0.22 * together,
      arms=((-0.35 - 0.4 * together, 0.4), (0.9 + 0.65 * together, 0.55 * (1 - together))),
      dip=bob,
    )
  joy = ease((time - 1.2) / 0.3) * (1 - ease((time - 1.85) / 0.15))
  return Pose(
    lean=0.15 * together - 0.1 * joy,
    arms=((-0.35 - 0.9 * joy, 0.4), (0.5 + 1.0 * together + 0.9 * joy, 0.3)),
    lift=3 * joy * max(0.0, math.sin(1.6 * TAU * (time - 1.3))),
    mouth="open" if joy > 0.3 else "smile",
    dip=bob,
  )


def holder(time: float) -> int:
  """The role of the figure that holds a gift."""
  number, time = divmod(time, PERIOD)
  return int((number + (time >= HAND_OVER)) % 2)


Action = Callable[[float, Timing], Pose]
SOLO: dict[str, Action] = {
  "walks": walks,
  "runs": runs,
  "sneaks": sneaks,
  "jumps": jumps,
  "cartwheels": cartwheels,
  "dances": dances,
  "waves": waves,
  "twirls": twirls,
  "throws": throws,
  "casts": casts,
  "to_car": to_car,
  "from_car": from_car,
}
PAIR: dict[str, Action] = {"chases": runs, "gives": gives, "dances_with": dances}
ACTIONS = SOLO | PAIR
# Actions that cover a distance, and how far a figure of size and width 1 extends to a side during them.
TRAVEL = {
  "walks": 14.0,
  "runs": 14.6,
  "sneaks": 16.4,
  "jumps": 15.0,
  "cartwheels": 17.5,
  "to_car": 14.0,
  "from_car": 14.0,
  "chases": 14.6,
}
