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
  """Whether a video is long enough for `frames` frames; the second half of the last frame may be missing.

  Args:
    seconds: duration of the video, or of several videos.
    frames: number of frames.
    rate: frames per second.
  """
  return seconds >= (frames - 0.5) / rate


def assign(
  videos: Sequence[tuple[int, int, float] | None], buckets: Sequence[Bucket], rate: float
) -> list[Int[np.ndarray, "videos"]]:
  """Assigns each video to the bucket with the nearest aspect ratio.

  Of buckets with equally near aspect ratios, the one with the most frames is chosen, then the first.

  Args:
    videos: (width in pixels, height in pixels, seconds) of each video; None for a video that must not be
      assigned to any bucket.
    buckets: the buckets to choose from. A video that is too short for a bucket is not assigned to it.
    rate: frames per second of the clips.

  Returns:
    For each bucket, the indices of its videos in increasing order.
  """
  width, height, seconds = np.array([video or (1, 1, -1.0) for video in videos], np.float64).reshape(-1, 3).T
  # argmin returns the first of equal distances. The sort is stable, so the longest bucket is chosen, then the
  # first.
  order = sorted(range(len(buckets)), key=lambda k: -buckets[k].frames)
  distance = np.empty((len(buckets), len(videos)))
  for row, k in zip(distance, order, strict=True):
    log_ratio = np.abs(np.log(width / height) - np.log(buckets[k].width / buckets[k].height))
    row[:] = np.where(long_enough(seconds, buckets[k].frames, rate), log_ratio.round(6), np.inf)
  best = np.where(np.isfinite(distance.min(0)), np.array(order)[distance.argmin(0)], -1)
  return [np.flatnonzero(best == k) for k in range(len(buckets))]


def counted(videos: Sequence, buckets: Sequence[Bucket], fitting: Sequence[Numbers]) -> str:
  """Text for a log line: each bucket with its number of videos, and the number of videos in no bucket."""
  counts = ", ".join(f"{tuple(size)}: {len(fit)}" for size, fit in zip(buckets, fitting, strict=True))
  return f"{counts}; in no bucket: {len(videos) - sum(map(len, fitting))}"


def shares_of(used: Sequence[int], clips: int, images: float) -> tuple[float, ...]:
  """The fraction of the batches that each clip size receives.

  The batches of clips are divided among the sizes of clips in proportion to their numbers of videos, and the
  batches of images among the sizes of images.

  Args:
    used: the number of usable videos of each size: first the sizes of clips, then the sizes of images.
    clips: how many of the sizes are sizes of clips.
    images: the fraction of the batches that contain images.

  Returns:
    The fractions, in the order of `used`.
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
