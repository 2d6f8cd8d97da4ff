"""The sound track of a video, resampled to one channel."""

import contextlib
import math
from collections.abc import Iterable, Iterator

import av
import numpy as np
from jaxtyping import Float

from stale_jax.data.decode.container import Clock, File, decode, opened

_SLACK = 0.02  # Seconds that sound may be off its clock before it is corrected: clocks tick in milliseconds.


def read_sound(file: File, rate: int, start: float, seconds: float) -> Float[np.ndarray, "samples"] | None:
  """The sound from `start` on, `seconds` long: the mean of its channels, in [-1, 1].

  Where the track has nothing (it begins late, ends early) there is silence. None: there is no track.

  Args:
    rate: samples a second, to be resampled to.

  Raises:
    Unreadable: the file.
  """
  with opened(file) as (container, pictures):
    if (stream := sound_track(container)) is None:
      return None
    wave = np.zeros(round(seconds * rate), np.float32)
    clock = Clock(pictures)
    begin = clock.origin * clock.tick + start  # By the container's clock.
    if start > 0:
      # Lossy codes need what was before: a second of it.
      with contextlib.suppress(av.FFmpegError):
        container.seek(math.floor((begin - 1) / stream.time_base), stream=stream)
    at = None
    for piece in _resampled(decode(container, stream), rate):
      samples = piece.to_ndarray().mean(0)
      where = round((float(piece.pts * piece.time_base) - begin) * rate)
      at = where if at is None or abs(where - at) > _SLACK * rate else at
      if at >= len(wave):
        break
      kept = samples[max(-at, 0) : max(len(wave) - at, 0)]
      wave[max(at, 0) : max(at, 0) + len(kept)] = kept
      at += len(samples)
    return np.clip(wave, -1, 1)


def sound_track(container) -> av.AudioStream | None:
  """The first sound track of a code that this FFmpeg knows."""
  return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def _resampled(frames: Iterable[av.AudioFrame], rate: int) -> Iterator[av.AudioFrame]:
  """The same sound as float planes at `rate`, with its channels; they may change on the way."""
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
