"""One video: what it is, where it is cut, and of each of its clips the numbers by which it is judged."""

import itertools
import math
import os
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from stale_jax.data.curate.cuts import cuts
from stale_jax.data.curate.hashes import clip_hash
from stale_jax.data.curate.motion import clip_speed
from stale_jax.data.curate.text_area import text_area
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.decode.video import Probe, frames_at, probe, read_frames

# Bump it when what is measured changes: what was found before is then measured anew.
VERSION = 1

_SMALL, _MIDDLE = 64, 240  # Shorter sides, for cuts and for the rest, in pixels.
_EVERY = 0.25  # Seconds between the pictures that are measured.
_MOMENTS = (0.25, 0.75)  # At which a clip is hashed, as shares of its length.
_TRIM = 2  # Pictures left out on either side of a cut, where codecs mix the scenes.
_FASTEST = 60.0  # Pictures a second that are looked at.
# A file that holds more bytes of pictures than this, and this many times its own, is not decoded.
_HARMLESS, _EXPANSION = 2e9, 50_000


def examine(path: str, least_seconds: float, most_seconds: float) -> dict:
  """Decodes a video twice, once for its cuts, once for its clips.

  Returns:
    What `probe` says of it, `bytes`, `cuts` in seconds, and `clips`: of each the `start` and `end` in
    seconds, `motion`, `light`, `text` (see Settings) and `hash` in hexadecimal; of those too short only start
    and end.

  Raises:
    Unreadable: its reasons, and "bomb" for a small file of an immense number of pictures.
  """
  about, size = probe(path), os.path.getsize(path)
  rate = min(about.rate or 25.0, _FASTEST)
  expanded = about.width * about.height * 1.5 * about.seconds * rate
  if expanded > max(_HARMLESS, _EXPANSION * size):
    raise Unreadable("bomb", path, f"would become {expanded / size:,.0f} times its {size} bytes.")
  frames = _Frames(path, about, rate)
  found = cuts(frames, rate)
  seconds = frames.seen / rate
  if seconds < about.seconds - max(1.0, 0.05 * about.seconds):
    raise Unreadable("truncated", path, f"ends at {seconds:.2f} s of {about.seconds:.2f} s.")
  clips = []
  for start, end in clip_windows(found, frames.seen, rate, most_seconds):
    long_enough = end - start >= least_seconds
    clips.append({"start": start, "end": end, **(_measure(path, about, start, end) if long_enough else {})})
  return {
    "width": about.width,
    "height": about.height,
    "rate": about.rate,
    "seconds": round(seconds, 4),
    "has_sound": about.has_sound,
    "codec": about.codec,
    "bytes": size,
    "cuts": [round(cut / rate, 4) for cut in found],
    "clips": clips,
  }


class _Frames:
  """All pictures of a video, small, counted as they come; they end where the file does."""

  def __init__(self, path: str, about: Probe, rate: float):
    self._path, self._size, self._rate, self.seen = path, _sides(about, _SMALL), rate, 0
    self._most = math.ceil(about.seconds * rate)

  def __iter__(self) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    try:
      for frame in frames_at(self._path, (i / self._rate for i in range(self._most)), *self._size):
        self.seen += 1
        yield frame
    except Unreadable as error:
      # Sound may go on after the last picture.
      if error.reason != "truncated" or not self.seen:
        raise


def clip_windows(
  found: list[int], frames: int, rate: float, most_seconds: float
) -> list[tuple[float, float]]:
  """From cuts (indices of pictures) to clips (start and end in seconds), none longer than `most_seconds`."""
  edges, clips = [0, *found, frames], []
  for first, last in itertools.pairwise(edges):
    start = (first + _TRIM if first else 0) / rate
    end = (last - _TRIM if last < frames else frames) / rate
    if end <= start:
      continue
    parts = math.ceil((end - start) / most_seconds)
    at = [round(start + (end - start) * i / parts, 4) for i in range(parts + 1)]
    clips.extend(itertools.pairwise(at))
  return clips


def _measure(path: str, about: Probe, start: float, end: float) -> dict:
  times = np.arange(start, end - 0.5 * _EVERY, _EVERY)
  shown = read_frames(path, times, *_sides(about, _MIDDLE))
  grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in shown])
  half = (grey.shape[2] // 2, grey.shape[1] // 2)
  small = np.stack([cv2.resize(frame, half, interpolation=cv2.INTER_AREA) for frame in grey])
  moments = grey[[round(share * (len(grey) - 1)) for share in _MOMENTS]]
  return {
    "motion": round(clip_speed(small, _EVERY), 5),
    "light": round(float(np.median(np.percentile(grey, 90, (1, 2)))) / 255, 4),
    "text": round(float(np.median([text_area(grey[i]) for i in (0, len(grey) // 2, -1)])), 4),
    "hash": clip_hash(moments).tobytes().hex(),
  }


def _sides(about: Probe, short: int) -> tuple[int, int]:
  """Height and width of its pictures, the shorter of which is `short`."""
  scale = short / min(about.height, about.width)
  return max(short, round(about.height * scale)), max(short, round(about.width * scale))
