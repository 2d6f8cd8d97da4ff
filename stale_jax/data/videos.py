"""What the sources of real videos have in common: windows of videos as clips with captions and labels.

  sight   the pictures of a window of frames / rate seconds, drawn anew for every index, their middle
          scaled to height x width
  sound   how loud twelve bands of pitches are (data/hearing.py), where the video has a track
  labels  hashtag: the first of its hashtags that is among `hashtags`; audio: its sound, if among
          `sounds`; views, likes, comments, shares, saves: how many digits the count has

Videos that cannot be used, being broken or shorter than a window, are named once on stderr, and the next
one of the source stands in: nobody can look at a million files before training.
"""

import dataclasses
import functools
import sys

import numpy as np
from jaxtyping import Float, UInt8

from stale_jax.clip import Sense
from stale_jax.config import at_least, nearest
from stale_jax.data.hearing import CHANNELS, RATE, hear
from stale_jax.data.metadata import BUCKETS, COUNTS, Described, bucket
from stale_jax.data.source import SPLITS
from stale_jax.data.video import File, Unreadable, frames_at, name_of, read_sound, seconds_of
from stale_jax.errors import UserError

_PATIENCE = 10  # Videos in a row that may be unusable.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Videos:
  """A source of windows of videos, random access and deterministic in (seed, index).

  Every video comes equally often, however long it is. Those who inherit say how many there are in the
  split, `count`, and what each is, `find`.

  Attributes:
    split: "train" or "test".
    seed: of everything drawn.
    size: the number of clips before indices repeat.
    frames: a clip.
    height, width: in pixels.
    rate: frames a second.
    patch: frames, rows and columns that one token of sight covers; of other senses, its frames.
    hearing: whether there is a sense of sound, which costs reading a video twice.
    hashtags, sounds: the classes of the labels `hashtag` and `audio`; without them, no such label.
  """

  split: str = "train"
  seed: int = 0
  size: int = 1 << 24
  frames: int = 16
  height: int = 64
  width: int = 64
  rate: float = 8.0
  patch: tuple[int, ...] = (4, 8, 8)
  hearing: bool = True
  hashtags: tuple[str, ...] = ()
  sounds: tuple[str, ...] = ()

  def __post_init__(self):
    if self.split not in SPLITS:
      raise UserError(f"unknown split {self.split!r}: {nearest(self.split, SPLITS)}")
    whole = (self.frames, self.height, self.width)
    at_least(1, "source", size=self.size, frames=self.frames, height=self.height, width=self.width)
    if len(self.patch) != 3 or any(p < 1 or n % p for n, p in zip(whole, self.patch, strict=True)):
      raise UserError(f"source.patch={self.patch} must divide frames, height and width, {whole}.")
    if not self.rate > 0:
      raise UserError(f"source.rate={self.rate}: a positive number is needed.")

  def count(self) -> int:
    """How many videos there are; raises UserError if none."""
    raise NotImplementedError

  def find(self, which: int) -> tuple[File, Described] | None:
    """Video number `which`; None if it is not to be used. Raises Unreadable."""
    raise NotImplementedError

  @property
  def senses(self) -> dict[str, Sense]:
    """Every sense this source can give, by name."""
    colours = ("red", "green", "blue")
    shape = (self.height, self.width, 3)
    senses = {"sight": Sense(name="sight", shape=shape, rate=self.rate, patch=self.patch, channels=colours)}
    return {**senses, "sound": self._flat("sound", CHANNELS)} if self.hearing else senses

  def _flat(self, name: str, channels: tuple[str, ...]) -> Sense:
    """A sense of so many numbers a frame."""
    return Sense(
      name=name, shape=(len(channels),), rate=self.rate, patch=self.patch[:1], channels=tuple(channels)
    )

  @property
  def labels(self) -> dict[str, int]:
    """How many classes each label has, by name."""
    named = {"hashtag": len(self.hashtags), "audio": len(self.sounds)}
    return {name: count for name, count in named.items() if count} | dict.fromkeys(COUNTS, BUCKETS)

  def __len__(self) -> int:
    return self.size

  def __getitem__(self, index: int) -> dict:
    """The example at `index`: clip (sense -> [frames, *shape]), caption, labels, index."""
    rng = np.random.Generator(np.random.Philox(key=[self.seed, int(index)]))
    count, failed, last = self.count(), 0, "it is taken down."
    for step in range(count):
      try:
        found = self.find((int(index) + step) % count)
        if found is None:
          continue
        file, described = found
        clip = self.window(file, self.start(file, rng))
      except Unreadable as error:
        say(f"left out: {error}")
        failed, last = failed + 1, str(error)
        if failed == _PATIENCE:
          break
        continue
      labels = self.classes(described)
      return {"clip": clip, "caption": described.caption, "labels": labels, "index": int(index)}
    which = f"{failed} in a row" if failed == _PATIENCE else "all"
    raise UserError(f"of {count} videos (split {self.split!r}) {which} cannot be used; the last: {last}")

  def start(self, file: File, rng: np.random.Generator) -> float:
    """When a window of `file` begins, in seconds. Raises Unreadable if it is too short for one."""
    seconds, length = self.seconds(file), self.frames / self.rate
    if seconds < length - 0.5 / self.rate:
      words = f"is {seconds:.2f} s long; {self.frames} frames need {length:.2f} s."
      raise Unreadable("too_short", name_of(file), words)
    return rng.uniform(0, max(seconds - length, 0))

  def seconds(self, file: File) -> float:
    """How long `file` is. Raises Unreadable."""
    return seconds_of(file) if isinstance(file, bytes) else _seconds(file)

  def window(self, file: File, start: float) -> dict[str, np.ndarray]:
    """The clip that begins there. Raises Unreadable."""
    times = start + np.arange(self.frames) / self.rate
    # Into place at once: memory that is new costs more than arithmetic.
    sight = np.empty((self.frames, self.height, self.width, 3), np.float32)
    for frame, pixels in zip(sight, frames_at(file, times, self.height, self.width), strict=True):
      to_sight(pixels, frame)
    clip = {"sight": sight}
    if self.hearing and (wave := read_sound(file, RATE, start, self.frames / self.rate)) is not None:
      clip["sound"] = hear(wave, self.frames)
    return clip

  def classes(self, described: Described) -> dict[str, int]:
    """Its class of each label that is known."""
    known = {name: bucket(count) for name, count in described.counts.items()}
    for name, valid, found in (
      ("hashtag", self.hashtags, described.hashtags),
      ("audio", self.sounds, (described.sound,)),
    ):
      if which := [valid.index(word) for word in found if word in valid]:
        known[name] = which[0]
    return known


def to_sight(pixels: UInt8[np.ndarray, "*shape"], out: Float[np.ndarray, "*shape"]) -> None:
  """Puts bytes into `out`, as [-1, 1]."""
  np.divide(pixels, np.float32(127.5), out=out)
  out -= 1


@functools.lru_cache(maxsize=1 << 16)
def _seconds(path: str) -> float:
  return seconds_of(path)


@functools.cache
def say(words: str) -> None:
  """Once, on stderr."""
  print(words, file=sys.stderr, flush=True)
