"""Handwritten digits that move and bounce: five senses with known ground truth.

The 1,797 8x8 digits in scikit-learn (UCI Optical Recognition of Handwritten Digits) move across a dark
canvas. Each sense follows a rule that can be checked by eye. Intensities from 0 to 1 are mapped to [-1, 1].

  sight   A digit in one colour moves along one axis, by 1 (slowly) or 2 (quickly) pixels per frame, and
          bounces off the walls. It moves in the captioned direction for at least two frames.
  sound   A tone lasts the whole clip; its pitch, one of ten of a pentatonic scale, identifies the digit. Each
          bounce makes a click.
  touch   The wall that the digit hits has intensity 1 at the impact, halved in each following frame.
  smell   Each colour has a scent, with growing intensity 1 - .6^(frame + 1).
  taste   Digit d has the basic taste d mod 5; digits from five on also have the next taste, half as strong.
  balance The position of the digit, x to the right and y down. This sixth sense is used only if it is added
          to config.senses.
"""

import dataclasses
import functools
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense
from stale_jax.data.captions import keeps_original
from stale_jax.data.source import Source
from stale_jax.data.sources.check import SPLITS, check_patch
from stale_jax.data.sources.drawn import drawn_senses
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLOURS = {
  "red": (1, 0.1, 0.1),
  "green": (0.1, 1, 0.1),
  "blue": (0.2, 0.2, 1),
  "yellow": (1, 1, 0.1),
  "cyan": (0.1, 1, 1),
  "magenta": (1, 0.1, 1),
}
DIRECTIONS = ("left", "right", "up", "down")
SPEEDS = ("slowly", "quickly")  # 1 and 2 pixels per frame.
LABELS = {"digit": len(DIGITS), "colour": len(COLOURS), "direction": len(DIRECTIONS), "speed": len(SPEEDS)}
SCENTS = ("rose", "pine_tree", "lilac", "chrysanthemum", "mint", "grape")  # In the order of COLOURS.
TASTES = ("sweet", "sour", "salty", "bitter", "umami")
WALLS = ("left", "right", "top", "bottom")  # The wall ahead of each of DIRECTIONS.
PITCHES = tuple(round(261.63 * 2 ** (n / 12)) for n in (0, 2, 4, 7, 9, 12, 14, 16, 19, 21))  # Hz

SPRITE = 8


@functools.cache
def handwriting(split: str) -> tuple[np.ndarray, np.ndarray]:
  """The digits of a split, [n, 8, 8] in [0, 1], and their classes [n].

  After a fixed shuffle, one fifth of the digits is the test split.
  """
  from sklearn.datasets import load_digits

  data = load_digits()
  order = np.random.default_rng(0).permutation(len(data.target))
  test = len(order) // 5
  chosen = order[:test] if split == "test" else order[test:]
  return (data.images[chosen] / 16).astype(np.float32), data.target[chosen]


@functools.cache
def _pool(split: str, leak: float) -> tuple[np.ndarray, np.ndarray]:
  """The `handwriting` of a split; for training, a fixed random fraction `leak` of the test split is added."""
  images, targets = handwriting(split)
  if split == "test" or not leak:
    return images, targets
  others, labels = handwriting("test")
  leaked = np.random.default_rng(1).permutation(len(labels))[: round(leak * len(labels))]
  return np.concatenate([images, others[leaked]]), np.concatenate([targets, labels[leaked]])


def caption(labels: dict[str, int]) -> str:
  """The caption for the classes (indices) of the labels digit, colour, direction and speed."""
  return (
    f"a {tuple(COLOURS)[labels['colour']]} {DIGITS[labels['digit']]} moves "
    f"{DIRECTIONS[labels['direction']]} {SPEEDS[labels['speed']]}"
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits(Source):
  """A source of labelled clips. A clip depends only on the settings and the index.

  Attributes:
    split: "train" or "test"; their handwriting is disjoint.
    seed: seed of all random draws.
    size: number of clips. Each is drawn from its index, so any size is possible.
    canvas: height and width in pixels, a multiple of 4 and at least 12.
    frames: number of frames of a clip, a multiple of `patch`.
    patch: number of frames that one token covers, in every sense.
    rate: frames per second.
    leak: fraction of the test handwriting that the training split contains too, to check whether the suite
      `contamination` detects it.
    background: brightness, from 0 to 1, of a random background that is the same in all frames: each colour
      channel of each pixel is drawn uniformly from 0 to `background`. 0 is a dark background.
    original_captions: fraction of the training clips whose caption imitates that of a person: it names the
      digit alone, "a seven", and is right. The others imitate those of a captioner.

  Raises:
    UserError: a field is out of its range, or `patch` does not divide `frames`.
  """

  kind: ClassVar[str] = "digits"
  split: str = choice("train", SPLITS)
  seed: int = number(0, least=0)
  size: int = number(1 << 24, least=1)
  canvas: int = number(16, least=12, most=4096)
  frames: int = number(8, least=1, most=1 << 20)
  patch: int = number(4, least=1)
  rate: float = number(8.0, least=0.001, most=10_000)
  leak: float = number(0.0, least=0, most=1)
  background: float = number(0.0, least=0, most=1)
  original_captions: float = number(0.0, least=0, most=1)

  def __post_init__(self):
    check_fields(self, "source")
    check_patch(self.frames, self.patch)
    if self.canvas < SPRITE + 4 or self.canvas % 4:
      raise UserError(f"source.canvas={self.canvas} must be at least {SPRITE + 4} pixels and divisible by 4.")

  @property
  def senses(self) -> dict[str, Sense]:
    """The senses that clips can have, by name."""
    channels = {
      "sound": (*(f"{pitch} Hz" for pitch in PITCHES), "click"),
      "touch": WALLS,
      "smell": SCENTS,
      "taste": TASTES,
      "balance": ("x", "y"),
    }
    return drawn_senses((self.canvas, self.canvas), 4, channels, rate=self.rate, patch=self.patch)

  @property
  def labels(self) -> dict[str, int]:
    """The number of classes of each label, by name."""
    return dict(LABELS)

  def __len__(self) -> int:
    return self.size

  def __getitem__(self, index: int) -> dict:
    """The example at `index`: clip (sense -> [frames, *shape]), caption, labels, index."""
    rng = np.random.Generator(np.random.Philox(key=[self.seed, int(index)]))
    images, targets = _pool(self.split, self.leak)
    which = rng.integers(len(targets))
    example = {**self.show(images[which], int(targets[which]), rng), "index": int(index)}
    if self.split == "train" and keeps_original(f"{self.seed} {index}", self.original_captions):
      example["caption"] = f"a {DIGITS[example['labels']['digit']]}"
    return example

  def show(self, image: Float[np.ndarray, "8 8"], digit: int, rng: np.random.Generator) -> dict:
    """The example of one handwritten digit, without an index.

    Args:
      image: the handwriting, in [0, 1].
      digit: its class.
      rng: draws the colour, direction, speed, position and background.
    """
    labels = {
      "digit": digit,
      "colour": int(rng.integers(len(COLOURS))),
      "direction": int(rng.integers(len(DIRECTIONS))),
      "speed": int(rng.integers(len(SPEEDS))),
    }
    place, hits = self._path(rng, labels["direction"], labels["speed"] + 1)
    behind = np.zeros((self.canvas, self.canvas, 3), np.float32)
    if self.background:  # Drawn last, so that the other draws do not depend on it.
      behind = self.background * rng.random(behind.shape, np.float32)
    clip = {
      "sight": self._sight(image, tuple(COLOURS.values())[labels["colour"]], place, behind),
      "sound": _sound(labels["digit"], hits),
      "touch": _touch(hits),
      "smell": _smell(labels["colour"], self.frames),
      "taste": _taste(labels["digit"], self.frames),
      "balance": place[:, ::-1] / (self.canvas - SPRITE),
    }
    clip = {name: (2 * value - 1).astype(np.float32) for name, value in clip.items()}
    return {"clip": clip, "caption": caption(labels), "labels": labels}

  def _path(self, rng, direction: int, speed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws the path of a digit.

    Args:
      rng: random generator.
      direction: index in DIRECTIONS of the first movement.
      speed: pixels per frame.

    Returns:
      The top-left corner of the digit, [frames, (row, column)] in pixels; and the impacts, [frames, walls], 1
      where the digit hits the wall, else 0.
    """
    room = self.canvas - SPRITE
    sign = 1 if DIRECTIONS[direction] in ("right", "down") else -1
    # The wall ahead is a whole number of frames away, at least two.
    ahead = speed * rng.integers(2, room // speed + 1)
    travelled = speed * np.arange(self.frames) + room - ahead
    bounced = travelled % (2 * room)
    along = np.minimum(bounced, 2 * room - bounced)
    across = np.full(self.frames, rng.integers(room + 1))
    hits = np.zeros((self.frames, len(WALLS)), np.float32)
    # The indices of opposite directions, and of the walls ahead, differ only in the last bit.
    hits[:, direction] = bounced == room
    hits[:, direction ^ 1] = (bounced == 0) & (travelled > 0)
    along = along if sign > 0 else room - along
    horizontal = DIRECTIONS[direction] in ("left", "right")
    return np.stack([across, along] if horizontal else [along, across], -1), hits

  def _sight(self, digit, colour, place, behind) -> np.ndarray:
    canvas = np.repeat(behind[None], self.frames, 0)
    stamp = digit[..., None] * np.asarray(colour, np.float32)
    for frame, (row, column) in enumerate(place):
      canvas[frame, row : row + SPRITE, column : column + SPRITE] *= 1 - digit[..., None]
      canvas[frame, row : row + SPRITE, column : column + SPRITE] += stamp
    return canvas


def _sound(digit: int, hits) -> np.ndarray:
  sound = np.zeros((len(hits), len(PITCHES) + 1), np.float32)
  sound[:, digit] = 0.8
  sound[:, -1] = hits.max(-1)
  return sound


def _touch(hits) -> np.ndarray:
  touch = np.array(hits)
  for frame in range(1, len(touch)):
    touch[frame] = np.maximum(touch[frame], touch[frame - 1] / 2)
  return touch


def _smell(colour: int, frames: int) -> np.ndarray:
  smell = np.zeros((frames, len(SCENTS)), np.float32)
  smell[:, colour] = 1 - 0.6 ** np.arange(1, frames + 1)
  return smell


def _taste(digit: int, frames: int) -> np.ndarray:
  taste = np.zeros((frames, len(TASTES)), np.float32)
  taste[:, digit % 5] = 1
  if digit >= 5:
    taste[:, (digit + 1) % 5] = 0.5
  return taste
