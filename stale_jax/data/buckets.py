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


def long_enough(seconds: float, frames: int, rate: float):
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
