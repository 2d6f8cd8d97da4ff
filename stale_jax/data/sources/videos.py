"""The base class of sources of video files: clips are windows of videos, with captions and labels.

  sight   the pictures in a random window of frames / rate seconds, drawn for each index, scaled to cover
          height x width and cropped to the centre
  sound   the loudness of twelve frequency bands (`data.decode.hearing`), if the video has a sound track
  labels  hashtag: those of the video's hashtags that `hashtags` lists; audio: the video's sound, if `sounds`
          lists it; views, likes, comments, shares, saves: the number of digits of the count (0 for none)

With `buckets`, clips have several sizes, and each video is cut to the size that fits it best. With `images`,
some batches contain single frames without sound. Such an image is a clip of one patch of frames, of which
only the first is real (`Context.valid`): the network does not attend to the others, and they have no loss.
Repeating the picture instead would teach the model that short clips are static.

A video that is corrupt, or too short for the clip, is reported once on stderr and replaced by the next video
of the source, because large collections cannot be checked before training. A run ends only if no video can be
used.
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
from stale_jax.data.decode.sound import read_sound
from stale_jax.data.decode.video import HDR_CHOICES, frames_at, probe, seconds_of
from stale_jax.data.metadata import BUCKETS, COUNTS, Described, bucket
from stale_jax.data.print_once import print_left_out, print_once
from stale_jax.data.source import Source, Spread, in_threads
from stale_jax.data.sources.check import SPLITS
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number

_SAMPLE = 256  # Number of captions that are read for `Source.captions`.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Videos(Source):
  """A source of clips cut from videos. A clip depends only on the settings, the videos and the index.

  All videos are used equally often, whatever their length. Subclasses define `count`, the number of videos in
  the split, and `find`, which returns one of them.

  Attributes:
    split: "train" or "test".
    seed: seed of all random draws.
    size: number of clips of each clip size.
    frames: number of frames of a clip.
    height, width: size of the pictures, in pixels.
    buckets: (frames, height, width) of each clip size. If it is not empty, `frames`, `height` and `width`
      become those of the first bucket, and all videos are measured before the first example is read.
    images: fraction of the batches that contain images (single frames).
    rate: frames per second.
    rates: frame rates, one of which is drawn for each clip. If it is not empty, `rate` becomes the first.
    patch: number of frames, rows and columns that a token of sight covers. Tokens of other senses cover the
      same number of frames.
    hearing: whether clips have sound. If so, each video is read twice. A clip in which a packet of sound is
      broken has none.
    hdr: whether to convert videos of high dynamic range (PQ, HLG) to ordinary ones ("tone_map") or to skip
      them ("leave_out").
    hashtags, sounds: classes of the labels `hashtag` and `audio`; without classes the label is omitted.

  Raises:
    UserError: a field is out of its range, or `patch` does not divide one of the clip sizes.
  """

  split: str = choice("train", SPLITS)
  seed: int = number(0, least=0)
  size: int = number(1 << 24, least=1)
  frames: int = number(16, least=1, most=1 << 20)
  height: int = number(64, least=1, most=1 << 16)
  width: int = number(64, least=1, most=1 << 16)
  buckets: tuple[Bucket, ...] = number((), least=1, most=1 << 20)
  images: float = number(0.0, least=0, most=1)
  rate: float = number(8.0, least=0.001, most=10_000)
  rates: tuple[float, ...] = number((), least=0.001, most=10_000)
  patch: tuple[int, ...] = number((4, 8, 8), least=1)
  hearing: bool = True
  hdr: str = choice("tone_map", HDR_CHOICES)
  hashtags: tuple[str, ...] = ()
  sounds: tuple[str, ...] = ()

  def __post_init__(self):
    check_fields(self, "source")
    if self.buckets:
      first, *_ = buckets = tuple(Bucket(*bucket) for bucket in self.buckets)
      for name, value in {"buckets": buckets, **first._asdict()}.items():
        object.__setattr__(self, name, value)
    for size in self.sizes[: len(self.buckets) or 1]:
      if len(self.patch) != 3 or any(n % p for n, p in zip(size, self.patch, strict=True)):
        raise UserError(f"source.patch={self.patch} must divide frames, height and width, {tuple(size)}.")
    if self.rates:
      object.__setattr__(self, "rate", self.rates[0])
    if len(self) > 2**31:
      raise UserError(
        f"source.size={self.size} clips in each of {len(self.sizes)} clip sizes are {len(self)} clips; "
        "at most 2^31 are allowed."
      )

  def count(self) -> int:
    """The number of videos in the split. Raises UserError if there are none."""
    raise NotImplementedError

  def find(self, which: int) -> tuple[File, Described] | None:
    """The file and metadata of the video at `which`; None if it must not be used. Raises Unreadable."""
    raise NotImplementedError

  @property
  def senses(self) -> dict[str, Sense]:
    """The senses that clips can have, by name."""
    colours = ("red", "green", "blue")
    shape = (self.height, self.width, 3)
    senses = {"sight": Sense(name="sight", shape=shape, rate=self.rate, patch=self.patch, channels=colours)}
    return {**senses, "sound": flat_sense("sound", CHANNELS, self)} if self.hearing else senses

  @property
  def labels(self) -> dict[str, int]:
    """The number of classes of each label, by name."""
    named = {"hashtag": len(self.hashtags), "audio": len(self.sounds)}
    return {name: count for name, count in named.items() if count} | dict.fromkeys(COUNTS, BUCKETS)

  @functools.cached_property
  def sizes(self) -> tuple[Bucket, ...]:
    """The clip sizes: `buckets`, then the sizes of images, one for each height and width of the buckets."""
    sizes = self.buckets or (Bucket(self.frames, self.height, self.width),)
    return sizes + tuple(dict.fromkeys(size._replace(frames=1) for size in sizes if self.images))

  @property
  def largest(self) -> "Videos":
    """The same source with only its largest clip size; used to plan memory and time."""
    size = max(self.sizes, key=math.prod)
    return dataclasses.replace(self, **size._asdict(), buckets=(), images=0.0)

  @functools.cached_property
  def shares(self) -> tuple[float, ...]:
    """The fraction of the batches that each of `sizes` receives, in proportion to its number of videos.

    A size whose videos are all taken down receives none.

    Raises:
      UserError: no size has a usable video.
    """
    used = [any(self.find(int(which)) is not None for which in fit) * len(fit) for fit in self._fitting]
    shares = shares_of(used, len(self.buckets) or 1, self.images)
    if not any(shares):
      why = "none fits source.buckets, or all are taken down" if self.buckets else "all are taken down"
      raise UserError(f"no video of the split {self.split!r} can be used: {why}.")
    return shares

  def prepare(self, spread: Spread = in_threads) -> None:
    """See `Source`: measures the videos if clips have several sizes."""
    if "_fitting" not in vars(self):
      vars(self)["_fitting"] = _fit(self, spread)

  @functools.cached_property
  def _fitting(self) -> tuple[Numbers, ...]:
    """For each of `sizes`, the indices of the videos that are cut to it."""
    return _fit(self, in_threads)

  def __len__(self) -> int:
    return self.size * len(self.sizes)

  def __getitem__(self, index: int) -> dict:
    """The example at `index`: clip (sense -> [frames, *shape]), caption, labels, fps, index.

    Its clip size is `sizes[index // size]`.

    Raises:
      UserError: no video fits that size, or none can be used.
    """
    return {**(example := self.stored(index)), "clip": floats(example["clip"])}

  def stored(self, index: int) -> dict:
    """The example at `index`, with sight as uint8."""
    rng = np.random.Generator(np.random.Philox(key=[self.seed, int(index)]))
    number, of_size = divmod(int(index), self.size)
    size, fitting = self.sizes[number], self._fitting[number]
    count, reason = len(fitting), "it is taken down."
    if not count:
      raise UserError(f"no video of the split {self.split!r} fits the size {tuple(size)} of source.buckets.")
    for step in range(count):
      try:
        video = self.find(int(fitting[(of_size + step) % count]))
        if video is None:
          continue
        file, described = video
        window = window_in(file, self.seconds(file), self.rates or (self.rate,), size, rng)
        is_image = number >= (len(self.buckets) or 1)
        clip = {"sight": self.pictures(file, window)} if is_image else self.cut(file, window)
      except Unreadable as error:
        reason = str(error)
        print_left_out(error.args[1], reason)
        continue
      known = {"caption": described.caption, "labels": self.classes(described), "fps": window.rate}
      return {"clip": clip, **known, "index": int(index)}
    raise UserError(f"of {count} videos in the split {self.split!r}, none can be used; the last: {reason}")

  def captions(self) -> Sequence[str]:
    """The captions of at most 256 videos of the split, evenly spread."""
    return _some_captions(self)

  def measure(self, which: int) -> tuple[int, int, float]:
    """(width, height, seconds) of the video at `which`, as displayed. Raises Unreadable."""
    file, _ = self.find(which)
    properties = probe(file, self.hdr)
    return properties.width, properties.height, properties.seconds

  def seconds(self, file: File) -> float:
    """The duration of `file` in seconds. Raises Unreadable."""
    return seconds_of(file) if isinstance(file, bytes) else _known_seconds(file)

  def cut(self, file: File, window: Window) -> dict[str, np.ndarray]:
    """The clip in `window`, sense -> [frames, *shape], with sight as uint8. Raises Unreadable."""
    clip, (frames, *_) = {"sight": self.pictures(file, window)}, window.size
    if self.hearing and (wave := read_sound(file, RATE, window.start, frames / window.rate)) is not None:
      clip["sound"] = hear(wave, frames)
    return clip

  def pictures(self, file: File, window: Window) -> UInt8[np.ndarray, "frames height width 3"]:
    """The pictures in `window`. Raises Unreadable."""
    # Copying each frame into place is faster than stacking: allocating memory costs more than copying.
    sight = np.empty((*window.size, 3), np.uint8)
    shown = frames_at(file, window.times, *window.size[1:], self.hdr)
    for frame, pixels in zip(sight, shown, strict=True):
      frame[:] = pixels
    return sight

  def classes(self, described: Described) -> dict[str, int | list[int]]:
    """The class of each known label, by name; for `hashtag`, the list of its classes."""
    known = {name: bucket(count) for name, count in described.counts.items()}
    if self.hashtags and described.hashtags:
      known["hashtag"] = [self.hashtags.index(tag) for tag in described.hashtags if tag in self.hashtags]
    if described.sound in self.sounds:
      known["audio"] = self.sounds.index(described.sound)
    return known


def _fit(source: Videos, spread: Spread) -> tuple[Numbers, ...]:
  """For each of `source.sizes`, the indices of the videos that are cut to it."""
  if not source.buckets:
    return (range(source.count()),) * len(source.sizes)
  videos = spread(lambda which: _measured(source, which), source.count())
  clips, images = source.sizes[: len(source.buckets)], source.sizes[len(source.buckets) :]
  fitting = assign(videos, clips, max(source.rates or (source.rate,)))
  counts = counted(videos, clips, fitting)
  print_once(f"videos of the split {source.split!r} in each bucket (frames, height, width): {counts}")
  return (*fitting, *(assign(videos, images, source.rate) if images else ()))


def _some_captions(source: Videos) -> list[str]:
  sample = np.unique(np.linspace(0, source.count() - 1, _SAMPLE, dtype=int))
  found = (source.find(which) for which in sample.tolist())
  return [described.caption for _, described in filter(None, found)]


def _measured(source: Videos, which: int) -> tuple[int, int, float] | None:
  try:
    return source.measure(which)
  except Unreadable as error:
    print_left_out(error.args[1], error)
    return None


def window_in(
  file: File | np.ndarray, seconds: float, rates: Sequence[float], size: Bucket, rng: np.random.Generator
) -> Window:
  """Draws a window of `file` with `draw_window`.

  Raises:
    Unreadable: "too_short", the file is too short at all rates.
  """
  if (window := draw_window(seconds, rates, size, rng)) is None:
    words = f"is {seconds:.2f} s long; {size.frames} frames need {size.frames / max(rates):.2f} s."
    raise Unreadable("too_short", name_of(file), words)
  return window


def flat_sense(name: str, channels: tuple[str, ...], source: Videos) -> Sense:
  """A sense whose frames are vectors with one value for each channel, at the frame rate of `source`."""
  shape, patch = (len(channels),), source.patch[:1]
  return Sense(name=name, shape=shape, rate=source.rate, patch=patch, channels=tuple(channels))


def _known_seconds(path: str) -> float:
  """The duration of a file, which is read once, also if that fails. Raises Unreadable."""
  seconds, fault = _seconds(path)
  if fault:
    raise Unreadable(*fault)
  return seconds


@functools.lru_cache(maxsize=1 << 16)
def _seconds(path: str) -> tuple[float, tuple[str, ...]]:
  """(duration of a video, ()); or (0, the arguments of `Unreadable`) if it cannot be read.

  So a broken file is opened once, and not for each example for which it is drawn.
  """
  try:
    return seconds_of(path), ()
  except Unreadable as error:
    if error.reason == "no_file":  # An address may answer the next time.
      raise
    return 0.0, error.args
