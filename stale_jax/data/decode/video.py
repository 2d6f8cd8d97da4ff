"""Reads the properties of a video file, and its pictures at requested times.

Times are in seconds from the start of the video stream, also for sound. The picture at a given time is the
one that a player shows: the last picture whose presentation time is not later than the given time.
"""

import dataclasses
from collections.abc import Iterable, Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from stale_jax.data.decode.container import Clock, File, Unreadable, declared_seconds, decode, name_of, opened
from stale_jax.data.decode.picture import fit_picture, shown_size
from stale_jax.data.decode.sound import sound_track

_HOLD = 0.5  # Least duration of the last picture, in seconds: the sound may be longer than the pictures.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
  """The properties of a video file.

  Attributes:
    width, height: displayed size, in pixels.
    rate: mean number of pictures per second; 0 if unknown.
    seconds: duration stated by the file; if it states none, the time at which its last picture ends.
    has_sound: whether the file has a sound track whose codec FFmpeg supports.
    codec: FFmpeg's name of the video codec, for example h264, hevc or vp9.
    pixel_format: FFmpeg's name of the pixel format, for example yuv420p or yuv420p10le.
  """

  width: int
  height: int
  rate: float
  seconds: float
  has_sound: bool
  codec: str
  pixel_format: str


def probe(file: File) -> Probe:
  """Reads the properties of `file`, decoding only its first picture. Raises Unreadable."""
  with opened(file) as (container, stream):
    seconds = _seconds(container, stream)
    if (picture := next(decode(container, stream), None)) is None:
      raise Unreadable("no_frames", name_of(file), "has no picture that can be decoded.")
    width, height = shown_size(picture, stream)
    rate = stream.average_rate or stream.guessed_rate or 0
    return Probe(
      width=width,
      height=height,
      rate=float(rate),
      seconds=seconds,
      has_sound=sound_track(container) is not None,
      codec=stream.codec_context.name,
      pixel_format=picture.format.name,
    )


def seconds_of(file: File) -> float:
  """The duration of `file` in seconds, as in `Probe`, without decoding a picture. Raises Unreadable."""
  with opened(file) as (container, stream):
    return _seconds(container, stream)


def read_frames(
  file: File, times: Iterable[float], height: int, width: int
) -> UInt8[np.ndarray, "frames height width 3"]:
  """The pictures at `times`, as one array; see `frames_at`."""
  shown = list(frames_at(file, times, height, width))
  return np.stack(shown) if shown else np.zeros((0, height, width, 3), np.uint8)


def frames_at(
  file: File, times: Iterable[float], height: int, width: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """Yields the picture at each of `times`, scaled to cover height x width and cropped to its centre.

  For `frames` frames at a rate, pass `times=start + np.arange(frames) / rate`. Decoding begins at the last
  key frame before the first time. A picture may appear up to half a tick of the file's time base, and at
  most one millisecond, early. The last picture is shown for at least half a second.

  Args:
    file: the video.
    times: in seconds, non-decreasing. They are read lazily, one element of the iterable per yielded picture.
    height, width: size of the pictures, in pixels.

  Raises:
    Unreadable: the file cannot be decoded; "truncated" if it ends before one of the times.
    ValueError: a time is negative or earlier than the one before.
  """
  times = _checked(times)
  if (time := next(times, None)) is None:
    return
  with opened(file) as (container, stream):
    scaler, clock = VideoReformatter(), Clock(stream)
    # At a constant rate the end of a picture is known without decoding the next one.
    period = 1 / float(stream.average_rate) if _has_constant_rate(container, stream) else 0.0
    shown = pixels = None
    for picture in _decode_from(container, stream, clock, time):
      start = clock.seconds(picture)
      # The previous picture is shown until this one starts; at a constant rate, this one for one period.
      for candidate, until in ((shown, start), (picture, start + period)):
        while candidate is not None and time < until - clock.early:
          if candidate is not shown or pixels is None:
            shown, pixels = candidate, fit_picture(candidate, stream, height, width, scaler, file)
          yield pixels
          if (time := next(times, None)) is None:
            return
      if shown is not picture:
        shown, pixels = picture, None
    if shown is None:
      raise Unreadable("no_frames", name_of(file), "has no picture that can be decoded.")
    end = clock.seconds(shown) + max((shown.duration or 0) * clock.tick, _HOLD)
    while time is not None:
      if time > end:
        words = f"ends at {end:.2f} s; the picture at {time:.2f} s is missing."
        raise Unreadable("truncated", name_of(file), words)
      pixels = fit_picture(shown, stream, height, width, scaler, file) if pixels is None else pixels
      yield pixels
      time = next(times, None)


def _seconds(container, stream) -> float:
  """The duration in seconds that the file states.

  A file without a stated duration, such as an unfinished recording, ends with its last picture.
  """
  if declared := declared_seconds(container, stream):
    return declared
  times = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
  clock = Clock(stream)
  container.seek(clock.origin, stream=stream)
  seconds = (max(times, default=0) - clock.origin) * clock.tick
  return seconds + 1 / float(stream.average_rate or stream.guessed_rate or 1)


def _has_constant_rate(container, stream) -> bool:
  """Whether the frame rate is known to be constant. Only the table of time stamps of MP4 files tells."""
  rate = stream.average_rate
  return "mp4" in container.format.name and bool(rate) and rate == stream.base_rate


def _checked(times: Iterable[float]) -> Iterator[float]:
  """Yields `times`; raises ValueError if one is negative or earlier than the one before."""
  last = 0.0
  for time in times:
    if time < last:
      raise ValueError(f"times must be non-negative and non-decreasing: {time} comes after {last}.")
    last = float(time)
    yield last


def _decode_from(container, stream, clock: Clock, seconds: float) -> Iterator[av.VideoFrame]:
  """Decodes pictures in presentation order, starting at a key frame at or before `seconds`.

  Decoding starts at the first picture if the container cannot seek to such a key frame.
  """
  back, moved = 0.0, False
  while seconds - back > 0:
    try:
      container.seek(clock.ticks(seconds - back), stream=stream)
    except av.FFmpegError:
      break
    moved, pictures = True, decode(container, stream)
    # Pictures before the key frame may depend on pictures that were not decoded.
    key = next((picture for picture in pictures if picture.key_frame), None)
    if key is not None and clock.seconds(key) <= seconds + clock.early:
      yield key
      yield from pictures
      return
    back = 2 * back + 1  # Some formats seek by position in the file instead of time: start earlier.
  if moved:
    container.seek(clock.origin, stream=stream)
  yield from decode(container, stream)
