"""What the reader of cartoons is asked, and the true answers of real clips.

Figures are asked for by their place on the picture: the left one, or the only one, and the right one. In all
actions of two the first figure is the left one if the direction is "right". In a dance of two, no caption
states a direction, and nothing shows who is first: the left one is taken to be.
"""

import math

import numpy as np

from stale_jax.data.sources.cartoons.actions import PAIR
from stale_jax.data.sources.cartoons.caption import DIRECTED
from stale_jax.data.sources.cartoons.cast import BUILDS, HAIRS, SKINS
from stale_jax.data.sources.cartoons.events import events
from stale_jax.data.sources.cartoons.labels import LABELS
from stale_jax.data.sources.cartoons.senses import CHANNELS, SOUNDS
from stale_jax.data.sources.cartoons.take import Take

FRAMES, RATE, SIDE = 16, 8.0, 64  # Of the clips that the network sees.
OF_A_FIGURE = ("character", "colour", "skin", "hair", "build")
OF_A_CLIP = ("action", "direction", "scene", "time", "prop", "camera")
QUESTIONS = {
  **{factor: len(LABELS[factor]) for factor in OF_A_CLIP},
  **{f"left_{factor}": len(LABELS[factor]) for factor in OF_A_FIGURE},
  **{f"right_{factor}": len(LABELS[factor]) + 1 for factor in OF_A_FIGURE},  # The last class is "none".
}
# What begins in a frame: touches of the first figure, and sounds. "motor" is whether there is a car.
HEARD = ("step", "landing", "chime", "whoosh", "motor")
TOUCHED = CHANNELS["touch"]
EVENTS = len(TOUCHED) + len(HEARD)


def states_direction(action: str) -> bool:
  """Whether captions of this action state the direction."""
  return action in DIRECTED


def shows_direction(action: str) -> bool:
  """Whether clips of this action show the direction. Who twirls faces both ways."""
  return action not in ("twirls", "dances_with")


def answers(take: Take) -> dict[str, int]:
  """The true answer to each of QUESTIONS."""
  labels = take.labels
  found = {factor: labels[factor] for factor in OF_A_CLIP}
  first = {factor: labels[factor] for factor in OF_A_FIGURE}
  if take.action not in PAIR:
    nobody = {factor: len(LABELS[factor]) for factor in OF_A_FIGURE}
    left, right = first, nobody
  else:
    actor = take.actors[1]
    second = {
      "character": labels["character2"],
      "colour": labels["colour2"],
      "skin": list(SKINS.values()).index(actor.skin),
      "hair": list(HAIRS.values()).index(actor.hair),
      "build": list(BUILDS.values()).index(actor.build),
    }
    left, right = (first, second) if take.facing == 1 else (second, first)
  for side, figure in (("left", left), ("right", right)):
    found |= {f"{side}_{factor}": value for factor, value in figure.items()}
  return found


def happenings(take: Take, frames: int = FRAMES, rate: float = RATE) -> np.ndarray:
  """Whether each of TOUCHED and HEARD begins in each frame, [frames, EVENTS]."""
  found = np.zeros((frames, EVENTS), bool)
  near_hand = TOUCHED.index(f"{'right' if take.facing == 1 else 'left'} hand")
  for event in events(take):
    frame = math.floor(event.time * rate + 1e-6)
    if frame >= frames:
      continue
    if event.kind in SOUNDS:
      found[frame, len(TOUCHED) + HEARD.index(SOUNDS[event.kind])] = True
    if event.kind == "hand_over":
      found[frame, near_hand] = True
    elif not event.who:
      parts = ("left foot", "right foot") if event.part == "feet" else (event.part,)
      found[frame, [TOUCHED.index(part) for part in parts]] = True
  for frame in range(frames):
    found[frame, -1] = take.pose(0, frame / rate).car
  return found


def first_is_left(action: np.ndarray, direction: np.ndarray) -> np.ndarray:
  """Whether the first figure is the left one, or the only one, for arrays of classes."""
  rightwards = direction == LABELS["direction"].index("right")
  return ~is_pair(action) | rightwards | (action == LABELS["action"].index("dances_with"))


def is_pair(action: np.ndarray) -> np.ndarray:
  """Whether there is a second figure, for an array of classes of actions."""
  return np.isin(action, [LABELS["action"].index(pair) for pair in PAIR])
