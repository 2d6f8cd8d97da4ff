"""Reads the properties of a video file, and its pictures at requested times.

Times are in seconds from the start of the video stream, also for sound. The picture at a given time is the
one that a player shows: the last picture whose presentation time is not later than the given time.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from stale_jax.data.decode.colour import HDR
from stale_jax.data.decode.container import (
  File,
  Unreadable,
  check_length,
  declared_seconds,
  name_of,
  opened,
)
from stale_jax.data.decode.packets import Clock, Part, decode, packets
from stale_jax.data.decode.picture import fit_picture, shown_size
from stale_jax.data.decode.sound import sound_track

# In seconds: the least duration of the last picture, and the longest time for which a picture replaces broken
# ones that follow it.
_HOLD = 0.5
HDR_CHOICES = ("tone_map", "leave_out")  # What can be done with videos of high dynamic range.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
  """The properties of a video file.

  Attributes:
    width, height: displayed size, in pixels.
    rate: mean number of pictures per second; 0 if unknown.
    seconds: the time at which the last picture ends. If the file is cut short, the duration that it states.
    has_sound: whether the file has a sound track whose codec FFmpeg supports.
    codec: FFmpeg's name of the video codec, for example h264, hevc or vp9.
    pixel_format: FFmpeg's name of the pixel format, for example yuv420p or yuv420p10le.
    transfer: the kind of high dynamic range, "pq" or "hlg"; "sdr" for ordinary videos.
  """

  width: int
  height: int
  rate: float
  seconds: float
  has_sound: bool
  codec: str
  pixel_format: str
  transfer: str


def probe(file: File, hdr: str = "tone_map") -> Probe:
  """Reads the properties of `file`, decoding only its first picture.

  Args:
    file: the video.
    hdr: see `frames_at`.

  Raises:
    Unreadable: see `frames_at`.
  """
  with opened(file) as (container, stream):
    picture = first_picture(file, container, stream)
    _refuse_hdr(file, stream, hdr)
    width, height = shown_size(picture, stream)
    seconds = _seconds(file, container, stream)
    rate = stream.average_rate or stream.guessed_rate or 0
    return Probe(
      width=width,
      height=height,
      rate=float(rate),
      seconds=seconds,
      has_sound=sound_track(container) is not None,
      codec=stream.codec_context.name,
      pixel_format=picture.format.name,
      transfer=_transfer(stream),
    )


def first_picture(file: File, container, stream) -> av.VideoFrame:
  """Decodes the first picture of an opened file. Raises Unreadable if there is none."""
  broken = False
  for part in decode(container, stream):
    if part.frame is not None:
      return part.frame
    broken |= part.broken
  raise _no_picture(file, broken)


def _no_picture(file: File, broken: bool) -> Unreadable:
  reason = "decoder_error" if broken else "no_frames"
  return Unreadable(reason, name_of(file), "has no picture that can be decoded.")


def _transfer(stream) -> str:
  return HDR.get(stream.codec_context.color_trc, "sdr")


def seconds_of(file: File) -> float:
  """The duration of `file` in seconds, as in `Probe`, without decoding a picture. Raises Unreadable."""
  with opened(file) as (container, stream):
    return _seconds(file, container, stream)


def read_frames(
  file: File, times: Iterable[float], height: int, width: int, hdr: str = "tone_map"
) -> UInt8[np.ndarray, "frames height width 3"]:
  """The pictures at `times`, as one array; see `frames_at`."""
  shown = list(frames_at(file, times, height, width, hdr))
  return np.stack(shown) if shown else np.zeros((0, height, width, 3), np.uint8)


def frames_at(
  file: File, times: Iterable[float], height: int, width: int, hdr: str = "tone_map"
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """Yields the picture at each of `times`, scaled to cover height x width and cropped to its centre.

  For `frames` frames at a rate, pass `times=start + np.arange(frames) / rate`. Decoding begins at the last
  key frame before the first time. A picture may appear up to half a tick of the file's time base, and at
  most one millisecond, early. The last picture is shown for at least half a second. A picture that cannot be
  decoded is replaced by the one before it, for at most half a second.

  Args:
    file: the video.
    times: in seconds, non-decreasing. They are read lazily, one element of the iterable per yielded picture.
    height, width: size of the pictures, in pixels.
    hdr: "tone_map" converts pictures of high dynamic range to ordinary ones; "leave_out" refuses them.

  Raises:
    Unreadable: the file cannot be decoded; "truncated" if it ends before one of the times; "hdr" if it has a
      high dynamic range and such videos are left out.
    ValueError: a time is negative or earlier than the one before.
  """
  times = _checked(times)
  if (time := next(times, None)) is None:
    return
  with opened(file) as (container, stream):
    scaler, clock = VideoReformatter(), Clock(container, stream)
    # At a constant rate the end of a picture is known without decoding the next one.
    period = 1 / float(stream.average_rate) if _has_constant_rate(container, stream) else 0.0
    shown = pixels = None  # The part that is shown at `time`, and its scaled picture.
    broken, end = [], 0.0  # Times of the broken pictures, and the end of the last whole packet.
    for part in _decode_from(container, stream, clock, time):
      start = part.start - clock.zero
      if part.broken:
        broken.append(start)
      else:
        end = max(end, part.end - clock.zero)
      if part.frame is None:
        continue
      # The previous picture is shown until this one starts; at a constant rate, this one for one period.
      for candidate, until in ((shown, start), (part, start + period)):
        while candidate is not None and time < until - clock.early:
          if candidate is not shown or pixels is None:
            _refuse_hdr(file, stream, hdr)
            shown, pixels = candidate, fit_picture(candidate.frame, stream, height, width, scaler, file)
          since = shown.start - clock.zero
          if time > since + _HOLD and any(since < one <= time for one in broken):
            words = f"has no picture at {time:.2f} s that can be decoded."
            raise Unreadable("decoder_error", name_of(file), words)
          yield pixels
          if (time := next(times, None)) is None:
            return
      if shown is not part:
        shown, pixels = part, None
    if shown is None:
      raise _no_picture(file, bool(broken))
    end = max(end, shown.start - clock.zero + _HOLD)
    while time is not None:
      if time > end:
        words = f"ends at {end:.2f} s; the picture at {time:.2f} s is missing."
        raise Unreadable("truncated", name_of(file), words)
      if pixels is None:
        _refuse_hdr(file, stream, hdr)
        pixels = fit_picture(shown.frame, stream, height, width, scaler, file)
      yield pixels
      time = next(times, None)


def _refuse_hdr(file: File, stream, hdr: str) -> None:
  """Raises Unreadable if the video has a high dynamic range and such videos are left out."""
  if hdr == "leave_out" and (kind := _transfer(stream)) != "sdr":
    raise Unreadable("hdr", name_of(file), f"has a high dynamic range ({kind}), and hdr='leave_out'.")


def _seconds(file: File, container, stream) -> float:
  """The time at which the last picture ends, see `Probe`. Moves the container's position.

  Only the table of time stamps of MP4 files states it. The duration in the header of another file may be that
  of the sound. Raises Unreadable if the video is too long.
  """
  stated = declared_seconds(container, stream)
  if "mp4" in container.format.name and stream.duration:
    return stated
  clock = Clock(container, stream)
  ends = {}
  if stated:
    with contextlib.suppress(av.FFmpegError):
      container.seek(clock.ticks(max(0.0, stated - 1)), stream=stream)
      ends = _ends(packets(container, sought=True))
  if stream.index not in ends:
    with contextlib.suppress(av.FFmpegError):
      clock.rewind(container, stream)
    ends = _ends(packets(container))
  # A file of which the end is missing is not a shorter video: nothing in it lasts as long as it states. Some
  # formats count from time 0, others from the start of the first stream; the former is later.
  if stream.index not in ends or max(ends.values()) < stated - _HOLD:
    return stated
  seconds = ends[stream.index] - clock.zero
  check_length(file, seconds)
  return seconds


def _ends(packets: Iterable[av.Packet]) -> dict[int, float]:
  """Index of each stream -> the end of its last packet, in seconds on the container's time axis."""
  ends = {}
  for packet in packets:
    if packet.pts is not None:
      stream = packet.stream
      duration = packet.duration * float(stream.time_base) if packet.duration else 0.0
      if not duration and stream.type == "video":
        duration = 1 / float(stream.average_rate or stream.guessed_rate or 1)
      end = float(packet.pts * stream.time_base) + duration
      ends[stream.index] = max(ends.get(stream.index, end), end)
  return ends


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


def _decode_from(container, stream, clock: Clock, seconds: float) -> Iterator[Part]:
  """Decodes pictures in presentation order, starting at a key frame at or before `seconds`.

  Decoding starts at the first picture if the container cannot seek to such a key frame.
  """
  back, moved = 0.0, False
  while seconds - back > 0:
    try:
      container.seek(clock.ticks(seconds - back), stream=stream)
    except av.FFmpegError:
      break
    moved, parts = True, decode(container, stream, sought=True)
    # Pictures before the key frame may depend on pictures that were not decoded.
    key = next((part for part in parts if part.frame is not None and part.frame.key_frame), None)
    if key is not None and key.start - clock.zero <= seconds + clock.early:
      yield key
      yield from parts
      return
    back = 2 * back + 1  # Some formats seek by position in the file instead of time: start earlier.
  if moved:
    clock.rewind(container, stream)
  yield from decode(container, stream)
