"""What happens in a clip, and when: computed from the clocks of the poses (see `actions`)."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stale_jax.data.sources.cartoons.actions import (
  BEAT,
  FEET,
  GAITS,
  HAND_OVER,
  HANDS,
  JUMP,
  LANDING,
  PERIOD,
  RELEASE,
  SPELL,
  SPELL_DELAY,
  TAU,
  THROW_DELAY,
  TO_CAR,
  WHEEL,
  Timing,
  transformation,
)
from stale_jax.data.sources.cartoons.skeleton import ARM, HIP, MIDDLE, SHOULDERS, direction
from stale_jax.data.sources.cartoons.take import Take

KINDS = ("step", "landing", "beat", "release", "spell", "transform", "hand_over", "hand")
CONTACTS = ("step", "landing", "beat", "hand")  # With the ground: their strength depends on the weight.
FAR, NEAR = 0, 1  # Sides of a figure as it is seen.


class Event(NamedTuple):
  """One event.

  Attributes:
    time: seconds since the beginning of the clip.
    kind: one of KINDS. The steps of a dance are of the kind "beat"; "hand" is a hand on the ground.
    who: 0 for the first figure and 1 for the second.
    strength: from 0 to 1.
    part: "left foot", "right foot", "feet", "left hand", "right hand" or "body".
  """

  time: float
  kind: str
  who: int
  strength: float
  part: str


class _Part(NamedTuple):
  """Something that happens to a part of a figure: `side` is FAR or NEAR, or None for both or the whole."""

  time: float
  kind: str
  strength: float
  part: str
  side: int | None = None


def events(take: Take) -> list[Event]:
  """The events of a clip, in the order of time."""
  found = []
  for who, (actor, timing) in enumerate(zip(take.actors, take.timings, strict=True)):
    for time, kind, strength, part, side in RULES[take.action](timing):
      if 0 <= time < timing.duration:
        strength *= actor.weight if kind in CONTACTS else 1
        name = part if side is None else f"{side_name(side, take.facing_of(who))} {part}"
        found.append(Event(time, kind, who, strength, name))
  return sorted(found)


def side_name(side: int, facing: int) -> str:
  """Whether a limb on the near or far side is a left or a right one."""
  return "right" if (side == NEAR) == (facing == 1) else "left"


def beats(timing: Timing) -> Iterator[tuple[float, int]]:
  """The beats of the music, (time, number): those of a dance, if there is one."""
  for number in range(math.ceil(2 * timing.phase), math.ceil(timing.duration / BEAT + 2 * timing.phase)):
    yield number * BEAT - 2 * timing.phase * BEAT, number


def _repeated(period: float, first: float, timing: Timing) -> Iterator[float]:
  """The times `first` + n * `period` that lie in the clip."""
  for number in range(math.ceil(-first / period), math.ceil((timing.duration - first) / period)):
    yield first + number * period


def _steps(action: str, strength: float, timing: Timing) -> Iterator[_Part]:
  period = GAITS[action].period
  for side, offset in ((FAR, 0.0), (NEAR, 0.5)):
    for time in _repeated(period, (offset - timing.phase) * period, timing):
      yield _Part(time, "step", strength, "foot", side)


def _landings(timing: Timing) -> Iterator[_Part]:
  for time in _repeated(JUMP, (LANDING - timing.phase) * JUMP, timing):
    yield _Part(time, "landing", 1.0, "feet")


def _dance(timing: Timing) -> Iterator[_Part]:
  for side, offset in ((NEAR, 0), (FAR, 1)):
    for time in _repeated(2 * BEAT, (offset - 2 * timing.phase) * BEAT, timing):
      yield _Part(time, "beat", 0.6, "foot", side)


def _cartwheel(timing: Timing) -> Iterator[_Part]:
  for side in (FAR, NEAR):
    hand = SHOULDERS[side] + 1j * HIP + 2 * ARM * direction(HANDS[side])
    for kind, part, place in (("step", "foot", FEET[side]), ("hand", "hand", hand)):
      # The limb is lowest when the turn is as large as its angle from hanging down towards the front.
      turn = math.atan2(place.real, MIDDLE - place.imag) / TAU
      for time in _repeated(WHEEL, (turn - timing.phase) * WHEEL, timing):
        yield _Part(time, kind, 0.6, part, side)


def _throws(timing: Timing) -> Iterator[_Part]:
  for time in _repeated(PERIOD, RELEASE + THROW_DELAY * timing.phase, timing):
    yield _Part(time, "release", 0.6, "hand", NEAR)


def _spells(timing: Timing) -> Iterator[_Part]:
  for time in _repeated(PERIOD, SPELL + SPELL_DELAY * timing.phase, timing):
    yield _Part(time, "spell", 0.8, "hand", NEAR)


def _gifts(timing: Timing) -> Iterator[_Part]:
  for number, time in enumerate(_repeated(PERIOD, HAND_OVER, timing)):
    if number % 2 == timing.role:  # One event for both: that of the giver.
      yield _Part(time, "hand_over", 0.5, "hand", NEAR)


def _to_car(timing: Timing) -> Iterator[_Part]:
  yield _Part(TO_CAR, "transform", 1.0, "body")


def _from_car(timing: Timing) -> Iterator[_Part]:
  yield _Part(transformation(timing), "transform", 1.0, "body")


def _nothing(timing: Timing) -> Iterator[_Part]:
  return iter(())


# How hard a foot comes down depends on the gait.
RULES: dict[str, Callable[[Timing], Iterator[_Part]]] = {
  "walks": functools.partial(_steps, "walks", 0.6),
  "runs": functools.partial(_steps, "runs", 1.0),
  "sneaks": functools.partial(_steps, "sneaks", 0.35),
  "jumps": _landings,
  "cartwheels": _cartwheel,
  "dances": _dance,
  "waves": _nothing,
  "twirls": _nothing,
  "throws": _throws,
  "casts": _spells,
  "to_car": _to_car,
  "from_car": _from_car,
  "chases": functools.partial(_steps, "chases", 1.0),
  "gives": _gifts,
  "dances_with": _dance,
}
