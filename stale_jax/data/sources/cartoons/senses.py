"""The senses of a clip besides sight. Each follows a rule that can be checked by eye.

Intensities from 0 to 1 are mapped to [-1, 1]. An impulse begins in the frame that contains its time, and is
halved every 1/8 of a second.

  sound   Each kind is heard in the left and in the right ear, as loud as the figure is near to that side
          (constant power). "step": a foot or a hand comes down, an impulse that is strong if the figure is
          heavy, the gait is hard and the floor is loud. "landing": the same for the end of a jump. "chime": a
          spell or a transformation. "whoosh": a throw; half as strong during a cartwheel or a twirl. "motor":
          a car, .4 and up to .6 more with its speed. On the stage, a tune of five pitches with a note each
          half second, on the beats of a dance, is heard equally in both ears.
  touch   Impulses of the first figure's feet, hands and body: contacts with the ground, throws, spells,
          gifts and transformations. A hand that holds a prop has .25, hands in a dance of two have .5.
  smell   The scent of the scene and that of the prop grow with time: 1 - .6^(8 seconds + 1).
  taste   Each character has a taste: one or more of the five basic tastes.
  balance Of the first figure: x is its place from the left edge (-1) to the right edge (1); height is -1 on
          the ground and 1 at 16 units; tilt is the sine of the angle of the trunk, positive to the right.
"""

import math

import numpy as np
from jaxtyping import Float

from stale_jax.data.sources.cartoons.actions import TOP_SPEED
from stale_jax.data.sources.cartoons.events import CONTACTS, NEAR, Event, beats, events, side_name
from stale_jax.data.sources.cartoons.labels import name
from stale_jax.data.sources.cartoons.props import SCENTS
from stale_jax.data.sources.cartoons.scenes import SCENES
from stale_jax.data.sources.cartoons.skeleton import SIZE
from stale_jax.data.sources.cartoons.take import Figure, Take

PITCHES = ("262 Hz", "294 Hz", "330 Hz", "392 Hz", "440 Hz")  # A pentatonic scale.
TUNE = (0, 2, 3, 2, 4, 3, 1, 2)  # Indices of PITCHES, repeated.
KINDS = ("step", "landing", "chime", "motor", "whoosh", *PITCHES)
SOUNDS = {  # Kind of an event -> kind of its sound; the others are silent.
  "step": "step",
  "beat": "step",
  "hand": "step",
  "landing": "landing",
  "spell": "chime",
  "transform": "chime",
  "release": "whoosh",
}
TURNING = ("cartwheels", "twirls")
NOTE, WHOOSH, HELD, HAND_IN_HAND = 0.8, 0.5, 0.25, 0.5
TASTES = ("sweet", "sour", "salty", "bitter", "umami")
SMELLS = (*(scene.scent for scene in SCENES.values()), *SCENTS.values())
HALVINGS = 8.0  # Of an impulse, per second.
HIGHEST = 16.0  # Units above the ground.
CHANNELS: dict[str, tuple[str, ...]] = {
  "sound": tuple(f"{kind} {ear}" for kind in KINDS for ear in ("left", "right")),
  "touch": ("left foot", "right foot", "left hand", "right hand", "body"),
  "smell": SMELLS,
  "taste": TASTES,
  "balance": ("x", "height", "tilt"),
}


def senses(take: Take, frames: int, rate: float, half_width: float) -> dict[str, np.ndarray]:
  """The senses of a clip besides sight: sense -> [frames, channels], in [-1, 1].

  Args:
    take: the clip.
    frames: number of frames.
    rate: frames per second.
    half_width: of the picture, in units.
  """
  times = np.arange(frames) / rate
  figures = [take.figures(time) for time in times]
  happened = events(take)
  found = {
    "sound": _sound(take, figures, happened, rate, half_width),
    "touch": _touch(take, figures, happened, rate),
    "smell": _smell(take, times),
    "taste": np.tile(taste(take.labels["character"]), (frames, 1)),
    "balance": _balance(figures, half_width),
  }
  return {sense: (2 * np.clip(x, 0, 1) - 1).astype(np.float32) for sense, x in found.items()}


def _impulse(channel: Float[np.ndarray, "frames"], time: float, strength: float, rate: float) -> None:
  """Adds an impulse to a channel, where it is stronger than what is there."""
  first = math.floor(time * rate + 1e-6)
  fading = strength * 0.5 ** (HALVINGS / rate * np.arange(len(channel) - first))
  np.maximum(channel[first:], fading, out=channel[first:])


def _ears(figure: Figure, half_width: float) -> tuple[float, float]:
  """The factors of the intensity in the left and in the right ear."""
  angle = math.pi / 4 * (1 + min(max(figure.ground.real / half_width, -1.0), 1.0))
  return math.cos(angle), math.sin(angle)


def _sound(
  take: Take, figures: list[tuple[Figure, ...]], happened: list[Event], rate: float, half_width: float
) -> Float[np.ndarray, "frames channels"]:
  sound = np.zeros((len(figures), len(KINDS), 2))
  scene = name(take.labels, "scene")
  for event in happened:
    if event.kind in SOUNDS:
      ears = _ears(take.figures(event.time)[event.who], half_width)
      strength = event.strength * (SCENES[scene].loudness if event.kind in CONTACTS else 1)
      for ear in (0, 1):
        _impulse(sound[:, KINDS.index(SOUNDS[event.kind]), ear], event.time, strength * ears[ear], rate)
  for frame, (first, *_) in enumerate(figures):
    ears = np.array(_ears(first, half_width))
    if take.action in TURNING:
      sound[frame, KINDS.index("whoosh")] = WHOOSH * ears
    if first.pose.car:
      sound[frame, KINDS.index("motor")] = (0.4 + 0.6 * _speed(take, frame / rate)) * ears
  if scene == "stage":
    for time, number in beats(take.timings[0]):
      note = KINDS.index(PITCHES[TUNE[number % len(TUNE)]])
      for ear in (0, 1):
        _impulse(sound[:, note, ear], time, NOTE, rate)
  return sound.reshape(len(figures), -1)


def _speed(take: Take, time: float) -> float:
  """The speed of a car, as a fraction of its top speed."""
  before, after = (take.pose(0, time + step).x for step in (-0.01, 0.01))
  return min((after - before) / (0.02 * TOP_SPEED * take.timings[0].pace), 1.0)


def _touch(
  take: Take, figures: list[tuple[Figure, ...]], happened: list[Event], rate: float
) -> Float[np.ndarray, "frames channels"]:
  channels = CHANNELS["touch"]
  touch = np.zeros((len(figures), len(channels)))
  near_hand = f"{side_name(NEAR, take.facing)} hand"
  for frame, (first, *_) in enumerate(figures):
    if first.prop != "none" and first.pose.thrown is None:
      touch[frame, channels.index(near_hand)] = HELD
    if take.action == "dances_with":
      touch[frame, [channels.index("left hand"), channels.index("right hand")]] = HAND_IN_HAND
  for event in happened:
    if event.kind == "hand_over":
      felt = [near_hand]  # Also if the first figure receives.
    elif event.who:
      continue
    else:
      felt = ["left foot", "right foot"] if event.part == "feet" else [event.part]
    for part in felt:
      _impulse(touch[:, channels.index(part)], event.time, event.strength, rate)
  return touch


def _smell(take: Take, times: Float[np.ndarray, "frames"]) -> Float[np.ndarray, "frames channels"]:
  smell = np.zeros((len(times), len(SMELLS)))
  scents = [SCENES[name(take.labels, "scene")].scent]
  if take.labels["prop"]:
    scents.append(SCENTS[name(take.labels, "prop")])
  for scent in scents:
    smell[:, SMELLS.index(scent)] = 1 - 0.6 ** (8 * times + 1)
  return smell


def taste(character: int) -> Float[np.ndarray, "5"]:
  """The taste of a character: a main one, and for later characters half of the next one or two."""
  pattern = np.zeros(len(TASTES))
  main, more = character % len(TASTES), character // len(TASTES)
  pattern[main] = 1.0
  for following in range(1, more + 1):
    pattern[(main + following) % len(TASTES)] = 0.5
  return pattern


def _balance(figures: list[tuple[Figure, ...]], half_width: float) -> Float[np.ndarray, "frames 3"]:
  """Intensities of x, height and tilt."""
  rows = []
  for first, *_ in figures:
    pose = first.pose
    height = pose.lift * SIZE * first.actor.size / HIGHEST
    tilt = first.facing * math.sin(pose.lean + pose.turn)
    rows.append(((first.ground.real / half_width + 1) / 2, height, (tilt + 1) / 2))
  return np.array(rows)
