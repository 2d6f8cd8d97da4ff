"""Reads the sound track of a video, resampled and mixed to mono."""

import contextlib
import math
from collections.abc import Iterable, Iterator

import av
import numpy as np
from jaxtyping import Float

from stale_jax.data.decode.container import File, opened
from stale_jax.data.decode.packets import Clock, Part, decode

# A sound frame is placed at its time stamp only if it would start more than this many seconds before or after
# the end of the previous frame. Otherwise it directly follows the previous frame, because some containers
# round time stamps to milliseconds.
_SLACK = 0.02


def read_sound(file: File, rate: int, start: float, seconds: float) -> Float[np.ndarray, "samples"] | None:
  """Reads part of the sound track.

  Args:
    file: the video.
    rate: samples per second of the result.
    start: in seconds from the first picture.
    seconds: duration of the part.

  Returns:
    The mean of the channels, in [-1, 1], and 0 where the track has no sound (it may begin late or end early);
    None if the video has no sound track that FFmpeg can decode, or if a packet of this part is broken. The
    pictures of such a part can still be used.

  Raises:
    Unreadable: the file cannot be decoded.
  """
  with opened(file) as (container, pictures):
    if (stream := sound_track(container)) is None:
      return None
    wave = np.zeros(round(seconds * rate), np.float32)
    begin = Clock(container, pictures).zero + start  # In seconds on the container's time axis.
    if start > 0:
      # Lossy codecs need the preceding sound to decode correctly: start one second earlier.
      with contextlib.suppress(av.FFmpegError):
        container.seek(math.floor((begin - 1) / stream.time_base), stream=stream)
    at, broken = None, []
    for piece in _resampled(_whole_frames(decode(container, stream), broken), rate):
      samples = piece.to_ndarray().mean(0)
      where = round((float(piece.pts * piece.time_base) - begin) * rate)
      at = where if at is None or abs(where - at) > _SLACK * rate else at
      if at >= len(wave):
        break
      inside = samples[max(-at, 0) : max(len(wave) - at, 0)]
      wave[max(at, 0) : max(at, 0) + len(inside)] = inside
      at += len(samples)
    # Lossy codecs overlap packets: a broken packet spoils the next one, too.
    if any(part.start < begin + seconds and 2 * part.end - part.start > begin for part in broken):
      return None
    return np.clip(wave, -1, 1)


def sound_track(container) -> av.AudioStream | None:
  """The first sound track whose codec this FFmpeg supports; None if there is none."""
  return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def _whole_frames(parts: Iterable[Part], broken: list[Part]) -> Iterator[av.AudioFrame]:
  """Yields the frames of `parts`, and appends the broken parts to `broken`."""
  for part in parts:
    if part.broken:
      broken.append(part)
    elif part.frame is not None:
      yield part.frame


def _resampled(frames: Iterable[av.AudioFrame], rate: int) -> Iterator[av.AudioFrame]:
  """Converts sound to planar floats at `rate` samples per second.

  Keeps the channels. The layout, rate and format may change between `frames`. Frames without a time stamp are
  skipped.
  """
  resampler = layout = None
  for frame in frames:
    if frame.pts is None:
      continue
    if resampler is None or layout != (frame.layout.name, frame.sample_rate, frame.format.name):
      if resampler is not None:
        yield from resampler.resample(None)
      layout = frame.layout.name, frame.sample_rate, frame.format.name
      resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=rate)
    yield from resampler.resample(frame)
  if resampler is not None:
    yield from resampler.resample(None)
