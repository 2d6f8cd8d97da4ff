"""Clips of several sizes: which videos are cut to which, so that every batch has static shapes.

(Aspect-ratio bucketing, after NovelAI, 2022, and the buckets of videos in Open-Sora, arXiv 2412.20404.)
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Bucket(NamedTuple):
  """The size of clips: how many frames, and of each the height and width in pixels."""

  frames: int
  height: int
  width: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
  """What is cut out of a video.

  Attributes:
    start: in seconds.
    rate: frames a second.
    size: of the clip.
  """

  start: float
  rate: float
  size: Bucket

  @property
  def times(self) -> Float[np.ndarray, "frames"]:
    """Of its frames, in seconds of the video."""
    return self.start + np.arange(self.size.frames) / self.rate


# Of videos.
Numbers = range | Int[np.ndarray, "_"]


def long_enough(seconds: float | Float[np.ndarray, "videos"], frames: int, rate: float):
  """Whether so many frames at `rate` are to be had in `seconds`; a video may end half a frame early."""
  return seconds >= (frames - 0.5) / rate


def assign(
  videos: Sequence[tuple[int, int, float] | None], buckets: Sequence[Bucket], rate: float
) -> list[Int[np.ndarray, "videos"]]:
  """The numbers of the videos that fit each bucket best: nearest in aspect ratio, then longest, then first.

  Args:
    videos: width, height and seconds of each; None: it is in no bucket.
    buckets: to choose from. A video that is too short for all of them is in none.
    rate: frames a second.
  """
  width, height, seconds = np.array([video or (1, 1, -1.0) for video in videos], np.float64).reshape(-1, 3).T
  # Where two are as near and as long, the first wins: argmin says the first of equals.
  order = sorted(range(len(buckets)), key=lambda k: -buckets[k].frames)
  far = np.empty((len(buckets), len(videos)))
  for row, k in zip(far, order, strict=True):
    apart = np.abs(np.log(width / height) - np.log(buckets[k].width / buckets[k].height))
    row[:] = np.where(long_enough(seconds, buckets[k].frames, rate), apart.round(6), np.inf)
  best = np.where(np.isfinite(far.min(0)), np.array(order)[far.argmin(0)], -1)
  return [np.flatnonzero(best == k) for k in range(len(buckets))]


def counted(videos: Sequence, buckets: Sequence[Bucket], fitting: Sequence[Numbers]) -> str:
  """In words, how many of `videos` fit each bucket, and how many none."""
  counts = ", ".join(f"{len(fit)} {tuple(size)}" for size, fit in zip(buckets, fitting, strict=True))
  return f"{counts}; in none: {len(videos) - sum(map(len, fitting))}"


def shares_of(used: Sequence[int], clips: int, images: float) -> tuple[float, ...]:
  """The share of the batches that each size has: in proportion to the videos that are used for it.

  Args:
    used: how many videos each size has.
    clips: how many of the sizes are of clips; the others are of images.
    images: the share of the batches that are of images.
  """
  parts = (used[:clips], 1 - images), (used[clips:], images)
  return tuple(n * share / max(sum(numbers), 1) for numbers, share in parts for n in numbers)


def draw_window(
  seconds: float, rates: Sequence[float], size: Bucket, rng: np.random.Generator
) -> Window | None:
  """A window of a video that lasts `seconds`, at a rate that it is long enough for; None if there is none."""
  if not (fit := [rate for rate in rates if long_enough(seconds, size.frames, rate)]):
    return None
  rate = fit[rng.integers(len(fit))] if len(fit) > 1 else fit[0]
  return Window(start=rng.uniform(0, max(seconds - size.frames / rate, 0)), rate=rate, size=size)
