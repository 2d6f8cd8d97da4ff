"""The clips that the tests of files and of pages are about, and their movies."""

import numpy as np

from stale_jax.clip import Sense
from stale_jax.data import Digits
from stale_jax.movie import Movie

SOURCE = Digits(split="test")
SENSES = SOURCE.senses
# A quick one hits its second wall within the clip.
EXAMPLE = next(e for e in map(SOURCE.__getitem__, range(99)) if (e["clip"]["sound"][:, -1] > 0).sum() == 2)
CLIP = {name: x for name, x in EXAMPLE["clip"].items() if name != "balance"}

BODY = ("left foot", "right foot", "left hand", "right hand", "body")


def movie(prompt="a red seven"):
  return Movie(CLIP, tuple(SENSES.values()), prompt, 5, {"model": "test", "steps": 3})


def sense(name, *channels, rate=8.0, shape=()):
  return Sense(
    name=name, shape=(*shape, len(channels)), rate=rate, patch=(1,) * (len(shape) + 1), channels=channels
  )


def decaying(frames, *events, rate=8.0):
  """Values in [-1, 1] of a channel with events (frame, strength), which decay by half every 1/8 s."""
  level = np.zeros(frames)
  for frame, strength in events:
    level[frame:] = np.maximum(level[frame:], strength * 0.5 ** (np.arange(frames - frame) * 8 / rate))
  return 2 * level - 1


def walk():
  """A movie of 16 frames that grows brighter: the left foot steps on frame 8, the right foot on 12."""
  senses = (
    sense("sight", "red", "green", "blue", shape=(16, 16)),
    sense("sound", "step left", "step right"),
    sense("touch", *BODY),
  )
  steps = decaying(16, (8, 0.8), (12, 0.8))
  clip = {
    "sight": np.linspace(-1, 1, 16)[:, None, None, None] * np.ones((16, 16, 16, 3)),
    "sound": np.stack([steps, (steps - 1) / 2], -1),
    "touch": np.stack([decaying(16, (8, 1.0)), decaying(16, (12, 0.6)), *-np.ones((3, 16))], -1),
  }
  return Movie({name: x.astype(np.float32) for name, x in clip.items()}, senses, "a walk", 0, {})
