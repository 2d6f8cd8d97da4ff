"""Assigns videos to clip sizes (buckets), so that each batch has a static shape.

Aspect-ratio bucketing follows NovelAI (2022) and the video buckets of Open-Sora (arXiv 2412.20404).
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Bucket(NamedTuple):
  """A clip size: the number of frames, and their height and width in pixels."""

  frames: int
  height: int
  width: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
  """The part of a video that becomes a clip.

  Attributes:
    start: time of the first frame, in seconds.
    rate: frames per second.
    size: size of the clip.
  """

  start: float
  rate: float
  size: Bucket

  @property
  def times(self) -> Float[np.ndarray, "frames"]:
    """The time of each frame, in seconds from the start of the video."""
    return self.start + np.arange(self.size.frames) / self.rate


# Indices of videos in a source.
Numbers = range | Int[np.ndarray, "_"]


def long_enough(seconds: float | Float[np.ndarray, "videos"], frames: int, rate: float):
  """Whether a video of `seconds` has `frames` frames at `rate` per second; it may end half a frame early."""
  return seconds >= (frames - 0.5) / rate


def assign(
  videos: Sequence[tuple[int, int, float] | None], buckets: Sequence[Bucket], rate: float
) -> list[Int[np.ndarray, "videos"]]:
  """Assigns each video to its best bucket: the nearest aspect ratio, then the most frames, then the first.

  Args:
    videos: (width, height, seconds) of each video; None for a video that is assigned to no bucket.
    buckets: the buckets to choose from. A video that is too short for a bucket is not assigned to it.
    rate: frames per second of the clips.

  Returns:
    For each bucket, the indices of its videos in increasing order.
  """
  width, height, seconds = np.array([video or (1, 1, -1.0) for video in videos], np.float64).reshape(-1, 3).T
  # argmin returns the first of equal distances, and the sort is stable: the longest bucket wins, then the
  # first.
  order = sorted(range(len(buckets)), key=lambda k: -buckets[k].frames)
  distance = np.empty((len(buckets), len(videos)))
  for row, k in zip(distance, order, strict=True):
    log_ratio = np.abs(np.log(width / height) - np.log(buckets[k].width / buckets[k].height))
    row[:] = np.where(long_enough(seconds, buckets[k].frames, rate), log_ratio.round(6), np.inf)
  best = np.where(np.isfinite(distance.min(0)), np.array(order)[distance.argmin(0)], -1)
  return [np.flatnonzero(best == k) for k in range(len(buckets))]


def counted(videos: Sequence, buckets: Sequence[Bucket], fitting: Sequence[Numbers]) -> str:
  """A line for the log: the number of videos in each bucket, and in none."""
  counts = ", ".join(f"{len(fit)} {tuple(size)}" for size, fit in zip(buckets, fitting, strict=True))
  return f"{counts}; in none: {len(videos) - sum(map(len, fitting))}"


def shares_of(used: Sequence[int], clips: int, images: float) -> tuple[float, ...]:
  """The fraction of the batches that each size receives, in proportion to its number of videos.

  Args:
    used: the number of usable videos of each size: first the sizes of clips, then those of images.
    clips: the number of sizes that are sizes of clips.
    images: the fraction of the batches that contain images.
  """
  parts = (used[:clips], 1 - images), (used[clips:], images)
  return tuple(n * share / max(sum(numbers), 1) for numbers, share in parts for n in numbers)


def draw_window(
  seconds: float, rates: Sequence[float], size: Bucket, rng: np.random.Generator
) -> Window | None:
  """Draws a rate at which the video is long enough, then the start of a window, both uniformly.

  Args:
    seconds: duration of the video.
    rates: the rates to choose from, in frames per second.
    size: size of the clip.
    rng: source of randomness.

  Returns:
    The window; None if the video is too short at all rates.
  """
  if not (fit := [rate for rate in rates if long_enough(seconds, size.frames, rate)]):
    return None
  rate = fit[rng.integers(len(fit))] if len(fit) > 1 else fit[0]
  return Window(start=rng.uniform(0, max(seconds - size.frames / rate, 0)), rate=rate, size=size)
