"""Examines one video: its properties, its cuts, and the measurements of its clips."""

import itertools
import math
import os
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from stale_jax.data.curate.cuts import cuts
from stale_jax.data.curate.likeness import look_of
from stale_jax.data.curate.motion import clip_speed
from stale_jax.data.curate.text_area import text_area
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.decode.video import Probe, frames_at, probe, read_frames

# Increment when a measurement changes; cached videos are then measured again.
VERSION = 4

_SMALL, _MIDDLE = 64, 240  # Shorter side of the pictures for cuts, and for other measurements, in pixels.
_MOVING = 1 / 30  # Share of the picture that must move; a hand before a fixed camera is small.
_EVERY = 0.25  # Seconds between successive pictures that are measured.
_TRIM = 2  # Pictures removed on either side of a cut, because codecs mix the scenes there.
_FASTEST = 60.0  # Greatest number of pictures per second that are read to find cuts.
# A file is not decoded if its decoded pictures exceed both this many bytes and this multiple of its size.
_HARMLESS, _EXPANSION = 2e9, 50_000


def examine(path: str, least_seconds: float, most_seconds: float, hdr: str) -> dict:
  """Decodes a video twice: first to find its cuts, then to measure its clips.

  Args:
    path: the video.
    least_seconds, most_seconds, hdr: see `Settings`.

  Returns:
    width, height, rate, seconds, has_sound, codec and transfer as in `Probe`; `bytes`, the size of the file;
    `cuts`, in seconds; and `clips`. A clip has `start` and `end`, in seconds, and, unless it is too short,
    `motion`, `light` and `text` (see `Settings`) and `look` (see `likeness.Look.to_text`).

  Raises:
    Unreadable: the video cannot be decoded, or is left out because of its high dynamic range; its reason is
      "bomb" if a small file would decode to an immense amount of data, as a decompression bomb does.
  """
  properties, size = probe(path, hdr), os.path.getsize(path)
  rate = min(properties.rate or 25.0, _FASTEST)
  expanded = properties.width * properties.height * 1.5 * properties.seconds * rate
  if expanded > max(_HARMLESS, _EXPANSION * size):
    raise Unreadable("bomb", path, f"would decode to {expanded / size:,.0f} times its size.")
  frames = _Frames(path, properties, rate)
  indices = cuts(frames, rate)
  seconds = frames.seen / rate
  if seconds < properties.seconds - max(1.0, 0.05 * properties.seconds):
    words = f"ends at {seconds:.2f} s, but states a duration of {properties.seconds:.2f} s."
    raise Unreadable("truncated", path, words)
  clips = []
  for start, end in clip_windows(indices, frames.seen, rate, most_seconds):
    measurements = _measure(path, properties, start, end) if end - start >= least_seconds else {}
    clips.append({"start": start, "end": end, **measurements})
  return {
    "width": properties.width,
    "height": properties.height,
    "rate": properties.rate,
    "seconds": round(seconds, 4),
    "has_sound": properties.has_sound,
    "codec": properties.codec,
    "transfer": properties.transfer,
    "bytes": size,
    "cuts": [round(cut / rate, 4) for cut in indices],
    "clips": clips,
  }


class _Frames:
  """An iterable of all pictures of a video, sampled at `rate` and reduced in size.

  It ends where the pictures end, even if the file states a longer duration.

  Attributes:
    seen: number of pictures yielded so far.
  """

  def __init__(self, path: str, properties: Probe, rate: float):
    self._path, self._size, self._rate, self.seen = path, _sides(properties, _SMALL), rate, 0
    self._most = math.ceil(properties.seconds * rate)

  def __iter__(self) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    try:
      for frame in frames_at(self._path, (i / self._rate for i in range(self._most)), *self._size):
        self.seen += 1
        yield frame
    except Unreadable as error:
      # The end of the file may be missing.
      if error.reason != "truncated" or not self.seen:
        raise


def clip_windows(cuts: list[int], frames: int, rate: float, most_seconds: float) -> list[tuple[float, float]]:
  """Divides a video into clips: at its cuts, and scenes longer than `most_seconds` into equal parts.

  Two pictures on either side of a cut are left out.

  Args:
    cuts: index of the first picture of each scene except the first.
    frames: number of pictures.
    rate: pictures per second.
    most_seconds: longest duration of a clip.

  Returns:
    (start, end) of each clip, in seconds.
  """
  edges, clips = [0, *cuts, frames], []
  for first, last in itertools.pairwise(edges):
    start = (first + _TRIM if first else 0) / rate
    end = (last - _TRIM if last < frames else frames) / rate
    if end <= start:
      continue
    parts = math.ceil((end - start) / most_seconds)
    boundaries = [round(start + (end - start) * i / parts, 4) for i in range(parts + 1)]
    clips.extend(itertools.pairwise(boundaries))
  return clips


def _measure(path: str, properties: Probe, start: float, end: float) -> dict:
  times = np.arange(start, end - 0.5 * _EVERY, _EVERY)
  pictures = read_frames(path, times, *_sides(properties, _MIDDLE))
  grey = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures])
  half = (grey.shape[2] // 2, grey.shape[1] // 2)
  small = np.stack([cv2.resize(frame, half, interpolation=cv2.INTER_AREA) for frame in grey])
  return {
    "motion": round(clip_speed(small, _EVERY, _MOVING), 5),
    "light": round(float(np.median(np.percentile(grey, 90, (1, 2)))) / 255, 4),
    "text": round(float(np.median([text_area(grey[i]) for i in (0, len(grey) // 2, -1)])), 4),
    "look": look_of(grey).to_text(),
  }


def _sides(properties: Probe, short: int) -> tuple[int, int]:
  """(height, width) of the video's pictures when the shorter side is scaled to `short` pixels."""
  scale = short / min(properties.height, properties.width)
  return max(short, round(properties.height * scale)), max(short, round(properties.width * scale))
