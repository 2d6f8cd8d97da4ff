"""Movies of any length with known motion, to test measures of liveliness.

The movies show real handwriting that bounces as in the source `digits`, or a camera that wanders over a
rendered texture. Their *pace*, in pixels per frame, may differ from frame to frame. Further functions degrade
a movie in the ways in which long movies fail.
"""

import cv2
import numpy as np

from stale_jax.data.sources.digits import COLOURS, SPRITE, Digits, handwriting
from stale_jax.evaluation.liveliness import Liveliness, change_of
from stale_jax.testing.scenes import canvas

WINDOW = 8  # Frames of a window of `Liveliness`.


def real_digits(frames: int, clips: int, seed: int, canvas: int = 16) -> np.ndarray:
  """Clips of the source `digits`, [clips, frames, canvas, canvas, 3]."""
  source = Digits(split="test", seed=seed, frames=frames, patch=1, canvas=canvas)
  return np.stack([source[i]["clip"]["sight"] for i in range(clips)])


def digits(pace: np.ndarray, clips: int, seed: int, canvas: int = 16) -> np.ndarray:
  """Clips of a digit that moves pace[t] pixels before frame t, [clips, frames, canvas, canvas, 3]."""
  rng, images = np.random.default_rng(seed), handwriting("test")[0]
  return np.stack([_digit(images[rng.integers(len(images))], pace, canvas, rng) for _ in range(clips)])


def _digit(image: np.ndarray, pace: np.ndarray, canvas: int, rng: np.random.Generator) -> np.ndarray:
  room, colour = canvas - SPRITE, list(COLOURS.values())[rng.integers(len(COLOURS))]
  stamp = np.zeros((canvas, canvas), np.float32)
  stamp[:SPRITE, :SPRITE] = image
  # The start is even, so that a digit with pace 2 turns exactly at a wall.
  along = np.cumsum(pace) + 2 * rng.integers(room // 2)
  along = np.abs((along + room) % (2 * room) - room)
  places = [along, np.full(len(pace), float(rng.integers(room + 1)))]
  places = np.stack(places if rng.random() < 0.5 else places[::-1], -1)
  seen = np.stack([_shifted(stamp, place, canvas) for place in places])
  return (2 * seen[..., None] * np.asarray(colour, np.float32) - 1).astype(np.float32)


def textures(pace: np.ndarray, clips: int, seed: int, side: int = 48) -> np.ndarray:
  """Clips of a camera that moves pace[t] pixels before frame t, [clips, frames, side, side, 3]."""
  return np.stack([_texture(pace, side, np.random.default_rng([seed, i])) for i in range(clips)])


def _texture(pace: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
  large = 4 * side
  picture = cv2.GaussianBlur(canvas(rng, large, large), (0, 0), 0.7).astype(np.float32) / 127.5 - 1
  angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, len(pace)))
  away = np.cumsum(pace[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1), 0)
  room = large - side
  places = np.abs((away + room / 2 + room) % (2 * room) - room)
  return np.stack([_shifted(picture, -place, side) for place in places])


def _shifted(picture: np.ndarray, place: np.ndarray, side: int) -> np.ndarray:
  """`picture` shifted by `place` (right, down), cropped to a square of `side` pixels."""
  matrix = np.array([[1, 0, place[0]], [0, 1, place[1]]])
  return cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR)


def steady(frames: int, pace: float) -> np.ndarray:
  """A constant pace for every frame."""
  return np.full(frames, pace)


def halved(frames: int, pace: float) -> np.ndarray:
  """The pace `pace` in the first window, and half of it afterwards."""
  return np.where(np.arange(frames) < WINDOW, pace, pace / 2)


def slowing(frames: int, pace: float, half_life: float) -> np.ndarray:
  """A pace that halves every `half_life` frames."""
  return pace * 0.5 ** (np.arange(frames) / half_life)


def frozen(clips: np.ndarray, after: int = 1) -> np.ndarray:
  """The clips with all frames after the first `after` replaced by the last of these."""
  return clips[:, np.minimum(np.arange(clips.shape[1]), after - 1)]


def flickering(clips: np.ndarray, seed: int, noise: float) -> np.ndarray:
  """The first frame of each clip, repeated, with independent Gaussian noise of sd `noise` in each frame."""
  drawn = np.random.default_rng(seed).normal(0, noise, clips.shape)
  return np.clip(frozen(clips) + drawn, -1, 1).astype(np.float32)


def blinking(clips: np.ndarray, seed: int) -> np.ndarray:
  """The first frame of each clip, repeated, with a random brightness in each frame."""
  light = np.random.default_rng(seed).uniform(0.5, 1, (*clips.shape[:2], 1, 1, 1))
  return ((frozen(clips) + 1) * light - 1).astype(np.float32)


def looping(clips: np.ndarray, period: int) -> np.ndarray:
  """The first `period` frames of each clip, repeated."""
  return clips[:, np.arange(clips.shape[1]) % period]


def judge(clips: np.ndarray, real: np.ndarray) -> dict:
  """The scores of `clips` by `Liveliness`, with `real` as the real clips."""
  meter = Liveliness(WINDOW, change_of(real))
  meter.add(clips)
  return meter.scores()
