"""One video file: what it is, its pictures at given times, its sound. Decoded by PyAV, on one thread.

A file is a path or its bytes. Seconds count from where the file has its pictures begin, for sound too.
What is seen at a time is what a player shows: the last picture whose time has come, turned and
mirrored as the file asks, its pixels made square.

High dynamic range is converted by its matrix alone, without tone mapping, and looks pale.
"""

import contextlib
import dataclasses
import io
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from jaxtyping import Float, UInt8

from stale_jax.errors import UserError

File = str | Path | bytes

# What is refused before it is decoded.
MAX_PIXELS = 7680 * 4320  # A picture.
MAX_SECONDS = 6 * 3600.0
# No playlists, which would have other files opened, and no pictures.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf"
_BEGINNINGS = {0: (b"\x1aE\xdf\xa3", b"RIFF", b"FLV", b"OggS", b"G@"), 4: (b"ftyp", b"moov", b"mdat")}
_UNSAID = 2  # ISO/IEC 23091-2: matrix coefficients that are not said.
_HOLD = 0.5  # Seconds that the last picture stays, where the sound may still go on.
_SLACK = 0.02  # Seconds that sound may be off its clock before it is put right: clocks tick in milliseconds.


class Unreadable(UserError):
  """A file that cannot be used as a video.

  Attributes:
    reason: one of
      no_file       it is not there, or may not be read
      empty         it has no bytes
      not_a_video   it is something else
      truncated     it begins like a video, but is cut off or broken
      no_frames     there is no picture in it
      too_large     a picture of more than MAX_PIXELS
      too_long      more than MAX_SECONDS
      too_short     less than what is asked of it
      broken_track  what lies beside it, its other senses, cannot be understood
      decoder_error a picture or the sound cannot be decoded
  """

  def __init__(self, reason: str, name: str, words: str):
    super().__init__(reason, name, words)  # All three, so that it can be pickled.
    self.reason = reason

  def __str__(self) -> str:
    _, name, words = self.args
    return f"{name} {words}"


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
  with _opened(file) as (container, stream):
    seconds = _seconds(container, stream)
    if (picture := next(_decode(container, stream), None)) is None:
      raise Unreadable("no_frames", name_of(file), "has no picture that can be decoded.")
    width, height = _shown(picture, stream)
    rate = stream.average_rate or stream.guessed_rate or 0
    return Probe(
      width=width,
      height=height,
      rate=float(rate),
      seconds=seconds,
      has_sound=_sound(container) is not None,
      codec=stream.codec_context.name,
      pixel_format=picture.format.name,
    )


def seconds_of(file: File) -> float:
  """`Probe.seconds` alone, for which nothing is decoded. Raises Unreadable."""
  with _opened(file) as (container, stream):
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
  with _opened(file) as (container, stream):
    scaler, clock = VideoReformatter(), _Clock(stream)
    # Where the next picture is known to come a period later, it need not be decoded to know it.
    period = 1 / float(stream.average_rate) if _steady(container, stream) else 0.0
    shown = pixels = None
    for picture in _from(container, stream, clock, wanted):
      now = clock.seconds(picture)
      # What is shown stays until the next picture's time has come.
      for after, until in ((shown, now), (picture, now + period)):
        while after is not None and wanted < until - clock.early:
          if after is not shown or pixels is None:
            shown, pixels = after, _fit(after, stream, height, width, scaler, file)
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
      pixels = _fit(shown, stream, height, width, scaler, file) if pixels is None else pixels
      yield pixels
      wanted = next(times, None)


def read_sound(file: File, rate: int, start: float, seconds: float) -> Float[np.ndarray, "samples"] | None:
  """The sound from `start` on, `seconds` long: the mean of its channels, in [-1, 1].

  Where the track has nothing (it begins late, ends early) there is silence. None: there is no track.

  Args:
    rate: samples a second, to be resampled to.

  Raises:
    Unreadable: the file.
  """
  with _opened(file) as (container, pictures):
    if (stream := _sound(container)) is None:
      return None
    wave = np.zeros(round(seconds * rate), np.float32)
    clock = _Clock(pictures)
    begin = clock.origin * clock.tick + start  # By the container's clock.
    if start > 0:
      # Lossy codes need what was before: a second of it.
      with contextlib.suppress(av.FFmpegError):
        container.seek(math.floor((begin - 1) / stream.time_base), stream=stream)
    at = None
    for piece in _resampled(_decode(container, stream), rate):
      samples = piece.to_ndarray().mean(0)
      where = round((float(piece.pts * piece.time_base) - begin) * rate)
      at = where if at is None or abs(where - at) > _SLACK * rate else at
      if at >= len(wave):
        break
      kept = samples[max(-at, 0) : max(len(wave) - at, 0)]
      wave[max(at, 0) : max(at, 0) + len(kept)] = kept
      at += len(samples)
    return np.clip(wave, -1, 1)


def _sound(container) -> av.AudioStream | None:
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


def name_of(file: File) -> str:
  """What to call it in a message."""
  return os.fspath(file) if isinstance(file, str | Path) else f"a video of {len(file)} bytes"


@contextlib.contextmanager
def _opened(file: File) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
  """The container and its stream of pictures, within the limits; FFmpeg's errors become Unreadable."""
  # Beyond four times the limit FFmpeg does not even say how large a picture is.
  name, options = name_of(file), {"format_whitelist": _FORMATS, "max_pixels": str(4 * MAX_PIXELS)}
  # The prefix keeps a name with a colon from being an address.
  where = io.BytesIO(file) if isinstance(file, bytes) else "file:" + name
  try:
    container = av.open(where, options=options, metadata_errors="replace")
  except (av.FFmpegError, OSError) as error:
    beginning = _beginning(file)
    if any(beginning[at:].startswith(words) for at, words in _BEGINNINGS.items()):
      raise Unreadable("truncated", name, "begins like a video, but is cut off or broken.") from error
    raise Unreadable("not_a_video", name, "is not a video of a format that is read here.") from error
  with container:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
      raise Unreadable("no_frames", name, "has no pictures.")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
      raise Unreadable("decoder_error", name, "is of a code that this FFmpeg does not know.")
    if context.width * context.height > MAX_PIXELS:
      size = f"{context.width}x{context.height}"
      raise Unreadable("too_large", name, f"has pictures of {size} pixels; {MAX_PIXELS} are allowed.")
    if (seconds := _declared_seconds(container, stream)) and seconds > MAX_SECONDS:
      raise Unreadable("too_long", name, f"is {seconds:.0f} s long; {MAX_SECONDS:.0f} are allowed.")
    context.options = {"max_pixels": str(MAX_PIXELS)}
    try:
      yield container, stream
    except av.FFmpegError as error:
      words = " ".join(str(error).split())
      raise Unreadable("decoder_error", name, f"cannot be decoded: {words}.") from error


def _beginning(file: File) -> bytes:
  """Its first bytes; raises Unreadable if there are none."""
  try:
    if isinstance(file, bytes):
      beginning = file[:16]
    else:
      with open(file, "rb") as opened:
        beginning = opened.read(16)
  except OSError as error:
    raise Unreadable("no_file", name_of(file), f"cannot be read: {error.strerror}.") from error
  if not beginning:
    raise Unreadable("empty", name_of(file), "is empty.")
  return beginning


def _declared_seconds(container, stream) -> float:
  """How long the file says it is, 0 if it does not."""
  if stream.duration:
    return float(stream.duration * stream.time_base)
  return (container.duration or 0) / av.time_base


def _seconds(container, stream) -> float:
  """How long it is: as it says, else (a recording that was never finished) by its last picture's time."""
  if declared := _declared_seconds(container, stream):
    return declared
  times = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
  clock = _Clock(stream)
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


class _Clock:
  """When the pictures of a stream are shown.

  Attributes:
    origin: when they begin, in ticks.
    tick: seconds of one.
    early: seconds by which a time may seem too early: half a tick, since files round to theirs.
  """

  def __init__(self, stream):
    self.origin, self.tick = stream.start_time or 0, float(stream.time_base)
    self.early = min(self.tick / 2, 1e-3)

  def seconds(self, picture: av.VideoFrame) -> float:
    """When it is shown."""
    ticks = picture.dts if picture.pts is None else picture.pts
    return ((ticks or 0) - self.origin) * self.tick

  def ticks(self, seconds: float) -> int:
    """The last tick that is not after `seconds`."""
    return self.origin + math.floor(seconds / self.tick + 1e-6)


def _decode(container, stream) -> Iterator:
  """Frames in order of presentation, from where the container is."""
  if not stream.codec_context.is_open:
    # FFmpeg's own threads come in numbers of its choosing, and wait for one another.
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
  for packet in container.demux(stream):
    if not packet.is_corrupt:
      for frame in packet.decode():
        if not frame.is_corrupt:
          yield frame


def _from(container, stream, clock: _Clock, seconds: float) -> Iterator[av.VideoFrame]:
  """Pictures in order of presentation, from a key frame that is not after `seconds`, or from the first."""
  back, moved = 0.0, False
  while seconds - back > 0:
    try:
      container.seek(clock.ticks(seconds - back), stream=stream)
    except av.FFmpegError:
      break
    moved, pictures = True, _decode(container, stream)
    # Pictures before the key frame may lean on what was not decoded.
    key = next((picture for picture in pictures if picture.key_frame), None)
    if key is not None and clock.seconds(key) <= seconds + clock.early:
      yield key
      yield from pictures
      return
    back = 2 * back + 1  # Some formats go to the key frame that comes next in the file, not in time.
  if moved:
    container.seek(clock.origin, stream=stream)
  yield from _decode(container, stream)


def _matrix(picture: av.VideoFrame) -> tuple[int, int, int, int]:
  """(a, b, c, d): what is shown at (a x + c y, b x + d y) comes from (x, y); in units of 2^-16."""
  for data in picture.side_data:
    if data.type == SideData.DISPLAYMATRIX:
      a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
      return a, b, c, d
  return 1, 0, 0, 1


def _shown(picture: av.VideoFrame, stream) -> tuple[int, int]:
  """Its width and height on the screen, in pixels."""
  a, b, _, _ = _matrix(picture)
  aspect = stream.sample_aspect_ratio or 1
  width, height = round(picture.width * aspect) or 1, picture.height
  return (height, width) if abs(b) > abs(a) else (width, height)


def _fit(
  picture: av.VideoFrame, stream, height: int, width: int, scaler: VideoReformatter, file: File
) -> UInt8[np.ndarray, "height width 3"]:
  """The picture turned as it is to be shown, scaled to cover height x width, its middle cut out."""
  a, b, c, d = _matrix(picture)
  turned = abs(b) > abs(a)
  shown = _shown(picture, stream)
  cover = _cover(*shown, height, width)
  if cover[0] * cover[1] > MAX_PIXELS:
    size = f"{shown[0]}x{shown[1]}"
    raise Unreadable("too_large", name_of(file), f"is too long and thin to fill a picture: {size} pixels.")
  # Where the file does not say: high definition has colours of its own.
  unsaid = picture.colorspace == _UNSAID and not picture.format.is_rgb
  small = scaler.reformat(
    picture,
    *(cover[::-1] if turned else cover),
    "rgb24",
    src_colorspace=Colorspace.ITU709 if unsaid and picture.height * picture.width > 720 * 576 else None,
    dst_color_range=ColorRange.JPEG,
    interpolation="BICUBIC",
    threads=1,
  )
  pixels = small.to_ndarray()
  if turned:
    pixels = pixels.swapaxes(0, 1)
  across, down = (c, b) if turned else (a, d)
  return _middle(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1], height, width)


def resize(
  pixels: UInt8[np.ndarray, "frames rows columns 3"], height: int, width: int
) -> UInt8[np.ndarray, "frames height width 3"]:
  """Pictures that are pixels already, scaled until they cover height x width, their middle cut out."""
  scaler, cover = VideoReformatter(), _cover(pixels.shape[2], pixels.shape[1], height, width)
  frames = (av.VideoFrame.from_ndarray(np.ascontiguousarray(p), format="rgb24") for p in pixels)
  small = (scaler.reformat(frame, *cover, "rgb24", interpolation="BICUBIC", threads=1) for frame in frames)
  return np.stack([_middle(frame.to_ndarray(), height, width) for frame in small])


def _cover(shown_width: int, shown_height: int, height: int, width: int) -> tuple[int, int]:
  """(width, height) of the smallest picture of the same shape that covers height x width."""
  scale = max(width / shown_width, height / shown_height)
  return max(width, round(shown_width * scale)), max(height, round(shown_height * scale))


def _middle(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
  top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
  return np.ascontiguousarray(pixels[top : top + height, left : left + width])
