"""A video file: what it is, and its pictures at given times.

Seconds count from where the file has its pictures begin, for sound too. What is seen at a time is what a
player shows: the last picture whose time has come.
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

_HOLD = 0.5  # Seconds that the last picture stays, where the sound may still go on.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
  """What a video file is.

  Attributes:
    width, height: in pixels, as it is shown.
    rate: pictures a second, on average.
    seconds: how long, as the file says.
    has_sound: whether there is a sound track, of a code that is known.
    codec: FFmpeg's name of the pictures' code: h264, hevc, vp9, ...
    pixel_format: FFmpeg's: yuv420p, yuv420p10le, ...
  """

  width: int
  height: int
  rate: float
  seconds: float
  has_sound: bool
  codec: str
  pixel_format: str


def probe(file: File) -> Probe:
  """What `file` is; its first picture is decoded. Raises Unreadable."""
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
  """`Probe.seconds` alone, for which nothing is decoded. Raises Unreadable."""
  with opened(file) as (container, stream):
    return _seconds(container, stream)


def read_frames(
  file: File, times: Iterable[float], height: int, width: int
) -> UInt8[np.ndarray, "frames height width 3"]:
  """The pictures shown at `times`, all at once; see `frames_at`."""
  shown = list(frames_at(file, times, height, width))
  return np.stack(shown) if shown else np.zeros((0, height, width, 3), np.uint8)


def frames_at(
  file: File, times: Iterable[float], height: int, width: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """The picture shown at each of `times`, scaled until it covers height x width, its middle cut out.

  At a rate, from a start: `times=start + np.arange(frames) / rate`. Decoding begins at the last key
  frame before the first of them. Times are exact to half a tick of the file's clock, and to a
  millisecond. The last picture stays for half a second at least.

  Args:
    times: in seconds, not falling; they are taken as they are needed.

  Raises:
    Unreadable: the file; "truncated" if it ends before one of the times.
    ValueError: a time that falls, or is before 0.
  """
  times = _rising(times)
  if (wanted := next(times, None)) is None:
    return
  with opened(file) as (container, stream):
    scaler, clock = VideoReformatter(), Clock(stream)
    # Where the next picture is known to come a period later, it need not be decoded to know it.
    period = 1 / float(stream.average_rate) if _steady(container, stream) else 0.0
    shown = pixels = None
    for picture in _from(container, stream, clock, wanted):
      now = clock.seconds(picture)
      # What is shown stays until the next picture's time has come.
      for after, until in ((shown, now), (picture, now + period)):
        while after is not None and wanted < until - clock.early:
          if after is not shown or pixels is None:
            shown, pixels = after, fit_picture(after, stream, height, width, scaler, file)
          yield pixels
          if (wanted := next(times, None)) is None:
            return
      if shown is not picture:
        shown, pixels = picture, None
    if shown is None:
      raise Unreadable("no_frames", name_of(file), "has no picture that can be decoded.")
    end = clock.seconds(shown) + max((shown.duration or 0) * clock.tick, _HOLD)
    while wanted is not None:
      if wanted > end:
        raise Unreadable("truncated", name_of(file), f"ends at {end:.2f} s, before {wanted:.2f} s.")
      pixels = fit_picture(shown, stream, height, width, scaler, file) if pixels is None else pixels
      yield pixels
      wanted = next(times, None)


def _seconds(container, stream) -> float:
  """How long it is: as it says, else (a recording that was never finished) by its last picture's time."""
  if declared := declared_seconds(container, stream):
    return declared
  times = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
  clock = Clock(stream)
  container.seek(clock.origin, stream=stream)
  seconds = (max(times, default=0) - clock.origin) * clock.tick
  return seconds + 1 / float(stream.average_rate or stream.guessed_rate or 1)


def _steady(container, stream) -> bool:
  """Whether all pictures are known to be equally far apart: MP4 has a table of their times."""
  rate = stream.average_rate
  return "mp4" in container.format.name and bool(rate) and rate == stream.base_rate


def _rising(times: Iterable[float]) -> Iterator[float]:
  """The same; raises ValueError at one that is less than the one before, or than 0."""
  last = 0.0
  for time in times:
    if time < last:
      raise ValueError(f"times must rise from 0: {time} comes after {last}.")
    last = float(time)
    yield last


def _from(container, stream, clock: Clock, seconds: float) -> Iterator[av.VideoFrame]:
  """Pictures in order of presentation, from a key frame that is not after `seconds`, or from the first."""
  back, moved = 0.0, False
  while seconds - back > 0:
    try:
      container.seek(clock.ticks(seconds - back), stream=stream)
    except av.FFmpegError:
      break
    moved, pictures = True, decode(container, stream)
    # Pictures before the key frame may lean on what was not decoded.
    key = next((picture for picture in pictures if picture.key_frame), None)
    if key is not None and clock.seconds(key) <= seconds + clock.early:
      yield key
      yield from pictures
      return
    back = 2 * back + 1  # Some formats go to the key frame that comes next in the file, not in time.
  if moved:
    container.seek(clock.origin, stream=stream)
  yield from decode(container, stream)
