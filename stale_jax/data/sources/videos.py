"""What the sources of real videos have in common: windows of videos as clips with captions and labels.

  sight   the pictures of a window of frames / rate seconds, drawn anew for every index, their middle
          scaled to height x width
  sound   how loud twelve bands of pitches are (data/decode/hearing.py), where the video has a track
  labels  hashtag: all of its hashtags that are among `hashtags`; audio: its sound, if among `sounds`;
          views, likes, comments, shares, saves: how many digits the count has

With `buckets` clips have several sizes, and every video is cut to the one that fits it best. With `images`
some batches are of single frames, seen and not heard. Such an image is a clip of as many frames as a patch
has, of which the first alone is real (`Context.valid`): the network sees no more of the others and is not
judged by them. Were the picture repeated instead, it would be taught that short clips stand still.

Videos that cannot be used, being broken or shorter than a window, are named once on stderr, and the next
one of the source stands in: nobody can look at a million files before training.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from stale_jax.clip import Sense, floats
from stale_jax.data.buckets import Bucket, Numbers, Window, assign, counted, draw_window, shares_of
from stale_jax.data.decode.container import File, Unreadable, name_of
from stale_jax.data.decode.hearing import CHANNELS, RATE, hear
from stale_jax.data.decode.measure import measure_all
from stale_jax.data.decode.sound import read_sound
from stale_jax.data.decode.video import frames_at, probe, seconds_of
from stale_jax.data.metadata import BUCKETS, COUNTS, Described, bucket
from stale_jax.data.said import say
from stale_jax.data.source import Source
from stale_jax.data.sources.check import SPLITS
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number

_PATIENCE = 10  # Videos in a row that may be unusable.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Videos(Source):
  """A source of windows of videos, random access and deterministic in (seed, index).

  Every video comes equally often, however long it is. Those who inherit say how many there are in the
  split, `count`, and what each is, `find`.

  Attributes:
    split: "train" or "test".
    seed: of everything drawn.
    size: the number of clips before indices repeat, of each bucket.
    frames: a clip.
    height, width: in pixels.
    buckets: (frames, height, width) of each size of clips, in place of these three, which are then the
      first's. All videos are looked at before the first example is read.
    images: share of the batches that are of single frames.
    rate: frames a second.
    rates: several, one of which is drawn for each clip, in place of `rate`, which is then the first.
    patch: frames, rows and columns that one token of sight covers; of other senses, its frames.
    hearing: whether there is a sense of sound, which costs reading a video twice.
    hashtags, sounds: the classes of the labels `hashtag` and `audio`; without them, no such label.
  """

  split: str = choice("train", SPLITS)
  seed: int = number(0, least=0)
  size: int = number(1 << 24, least=1)
  frames: int = number(16, least=1)
  height: int = number(64, least=1)
  width: int = number(64, least=1)
  buckets: tuple[Bucket, ...] = number((), least=1)
  images: float = number(0.0, least=0, most=1)
  rate: float = number(8.0, above=0)
  rates: tuple[float, ...] = number((), above=0)
  patch: tuple[int, ...] = number((4, 8, 8), least=1)
  hearing: bool = True
  hashtags: tuple[str, ...] = ()
  sounds: tuple[str, ...] = ()

  def __post_init__(self):
    check_fields(self, "source")
    if any(len(bucket) != 3 for bucket in self.buckets):
      raise UserError(f"source.buckets={self.buckets}: each is (frames, height, width).")
    if self.buckets:
      first, *_ = buckets = tuple(Bucket(*bucket) for bucket in self.buckets)
      for name, value in {"buckets": buckets, **first._asdict()}.items():
        object.__setattr__(self, name, value)
    for whole in self.sizes[: len(self.buckets) or 1]:
      if len(self.patch) != 3 or any(n % p for n, p in zip(whole, self.patch, strict=True)):
        raise UserError(f"source.patch={self.patch} must divide frames, height and width, {tuple(whole)}.")
    if self.rates:
      object.__setattr__(self, "rate", self.rates[0])
    if len(self) > 2**31:
      raise UserError(
        f"source.size={self.size}, of {len(self.sizes)} sizes of clips, is more than 2^31 clips."
      )

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
    return {**senses, "sound": flat_sense("sound", CHANNELS, self)} if self.hearing else senses

  @property
  def labels(self) -> dict[str, int]:
    """How many classes each label has, by name."""
    named = {"hashtag": len(self.hashtags), "audio": len(self.sounds)}
    return {name: count for name, count in named.items() if count} | dict.fromkeys(COUNTS, BUCKETS)

  @functools.cached_property
  def sizes(self) -> tuple[Bucket, ...]:
    """Of the clips: `buckets`, and then, if there are images, one of each height and width of these."""
    sizes = self.buckets or (Bucket(self.frames, self.height, self.width),)
    return sizes + tuple(dict.fromkeys(size._replace(frames=1) for size in sizes if self.images))

  @property
  def largest(self) -> "Videos":
    """The same of the greatest of its sizes alone: for planning."""
    size = max(self.sizes, key=math.prod)
    return dataclasses.replace(self, **size._asdict(), buckets=(), images=0.0)

  @functools.cached_property
  def shares(self) -> tuple[float, ...]:
    """Of the batches, how many are of each of `sizes`: in proportion to their videos that are to be used.

    Raises:
      UserError: there are none.
    """
    used = [any(self.find(int(which)) is not None for which in fit) * len(fit) for fit in self._fitting]
    shares = shares_of(used, len(self.buckets) or 1, self.images)
    if not any(shares):
      raise UserError(
        f"no video of the split {self.split!r} is to be used: none fits, or all are taken down."
      )
    return shares

  @functools.cached_property
  def _fitting(self) -> tuple[Numbers, ...]:
    """For each of `sizes`, the numbers of the videos that are cut to it."""
    if not self.buckets:
      return (range(self.count()),) * len(self.sizes)
    videos = measure_all(self.measure, self.count())
    clips, images = self.sizes[: len(self.buckets)], self.sizes[len(self.buckets) :]
    fitting = assign(videos, clips, max(self.rates or (self.rate,)))
    say(f"videos of the split {self.split!r} in each of source.buckets: {counted(videos, clips, fitting)}")
    return (*fitting, *(assign(videos, images, self.rate) if images else ()))

  def __len__(self) -> int:
    return self.size * len(self.sizes)

  def __getitem__(self, index: int) -> dict:
    """The example at `index`: clip (sense -> [frames, *shape]), caption, labels, fps, index.

    From each multiple of `size` on, its sight is of the next of `sizes`.
    """
    example = self.stored(index)
    return {**example, "clip": floats(example["clip"])}

  def stored(self, index: int) -> dict:
    """The same, its sight as bytes."""
    rng = np.random.Generator(np.random.Philox(key=[self.seed, int(index)]))
    number, of_size = divmod(int(index), self.size)
    size, fitting = self.sizes[number], self._fitting[number]
    count, failed, last = len(fitting), 0, "it is taken down."
    if not count:
      raise UserError(f"no video of the split {self.split!r} fits source.buckets' {tuple(size)}.")
    for step in range(count):
      try:
        found = self.find(int(fitting[(of_size + step) % count]))
        if found is None:
          continue
        file, described = found
        window = window_in(file, self.seconds(file), self.rates or (self.rate,), size, rng)
        still = number >= (len(self.buckets) or 1)
        clip = {"sight": self.pictures(file, window)} if still else self.cut(file, window)
      except Unreadable as error:
        say(f"left out: {error}")
        failed, last = failed + 1, str(error)
        if failed == _PATIENCE:
          break
        continue
      known = {"caption": described.caption, "labels": self.classes(described), "fps": window.rate}
      return {"clip": clip, **known, "index": int(index)}
    which = f"{failed} in a row" if failed == _PATIENCE else "all"
    raise UserError(f"of {count} videos (split {self.split!r}) {which} cannot be used; the last: {last}")

  def measure(self, which: int) -> tuple[int, int, float]:
    """Width, height and seconds of video number `which`, as it is shown. Raises Unreadable."""
    file, _ = self.find(which)
    about = probe(file)
    return about.width, about.height, about.seconds

  def seconds(self, file: File) -> float:
    """How long `file` is. Raises Unreadable."""
    return seconds_of(file) if isinstance(file, bytes) else _seconds(file)

  def cut(self, file: File, window: Window) -> dict[str, np.ndarray]:
    """The clip in that window. Raises Unreadable."""
    clip, (frames, *_) = {"sight": self.pictures(file, window)}, window.size
    if self.hearing and (wave := read_sound(file, RATE, window.start, frames / window.rate)) is not None:
      clip["sound"] = hear(wave, frames)
    return clip

  def pictures(self, file: File, window: Window) -> UInt8[np.ndarray, "frames height width 3"]:
    """What is seen of it. Raises Unreadable."""
    # Into place at once: memory that is new costs more than copying.
    sight = np.empty((*window.size, 3), np.uint8)
    for frame, pixels in zip(sight, frames_at(file, window.times, *window.size[1:]), strict=True):
      frame[:] = pixels
    return sight

  def classes(self, described: Described) -> dict[str, int | list[int]]:
    """Its class of each label that is known, and all its hashtags of those that are classes."""
    known = {name: bucket(count) for name, count in described.counts.items()}
    if self.hashtags and described.hashtags:
      known["hashtag"] = [self.hashtags.index(tag) for tag in described.hashtags if tag in self.hashtags]
    if described.sound in self.sounds:
      known["audio"] = self.sounds.index(described.sound)
    return known


def window_in(
  file: File | np.ndarray, seconds: float, rates: Sequence[float], size: Bucket, rng: np.random.Generator
) -> Window:
  """A window of `file`, drawn anew, at one of the rates for which the file is long enough.

  Raises:
    Unreadable: it is too short for all.
  """
  if (window := draw_window(seconds, rates, size, rng)) is None:
    words = f"is {seconds:.2f} s long; {size.frames} frames need {size.frames / max(rates):.2f} s."
    raise Unreadable("too_short", name_of(file), words)
  return window


def flat_sense(name: str, channels: tuple[str, ...], source: Videos) -> Sense:
  """A sense with one number a frame for each channel, at the rate of `source`."""
  shape, patch = (len(channels),), source.patch[:1]
  return Sense(name=name, shape=shape, rate=source.rate, patch=patch, channels=tuple(channels))


@functools.lru_cache(maxsize=1 << 16)
def _seconds(path: str) -> float:
  return seconds_of(path)
