"""Opens video files with PyAV, rejects unsuitable ones, and decodes frames in presentation order.

A file is given as a path, an address (`data.storage`), or its bytes, and is decoded on one thread.
"""

import contextlib
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from stale_jax.data.storage import open_file
from stale_jax.errors import UserError
from stale_jax.files import is_address

File = str | Path | bytes

# Files beyond these limits are rejected before they are decoded.
MAX_PIXELS = 7680 * 4320  # Pixels of one picture.
MAX_SECONDS = 6 * 3600.0
# FFmpeg's names of the supported formats. Playlists, which make FFmpeg open other files, and still pictures
# are excluded.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf"
# Offset in bytes -> signatures of video formats at this offset.
_BEGINNINGS = {0: (b"\x1aE\xdf\xa3", b"RIFF", b"FLV", b"OggS", b"G@"), 4: (b"ftyp", b"moov", b"mdat")}


class Unreadable(UserError):
  """A file that cannot be used as a video. The message is the file's name, followed by what is wrong.

  Attributes:
    reason: one of
      no_file       the file does not exist or cannot be read
      empty         the file has no bytes
      not_a_video   the file is not a video of a supported format
      truncated     the file begins like a video, but is incomplete or corrupt, or ends before a given time
      no_frames     the file has no pictures
      too_large     a picture has more than MAX_PIXELS pixels, or decoding needs too much memory
      too_long      the video is longer than MAX_SECONDS
      too_short     the video is shorter than the requested clip
      broken_track  a file beside the video, with its other senses, cannot be parsed
      decoder_error a picture or the sound cannot be decoded
      bomb          see `curate.examine.examine`
      crashed, too_slow, unexpected  see `curate.isolation.IsolatedProcess.call`
  """

  def __init__(self, reason: str, name: str, words: str):
    super().__init__(reason, name, words)  # Unpickling calls the class with these arguments.
    self.reason = reason

  def __str__(self) -> str:
    _, name, words = self.args
    return f"{name} {words}"


def name_of(file: File | np.ndarray) -> str:
  """The name of a file in error messages: its path, or the size of the video if `file` is bytes or pixels."""
  if isinstance(file, str | Path):
    return os.fspath(file)
  return f"a video of {len(file)} {'bytes' if isinstance(file, bytes) else 'frames'}"


@contextlib.contextmanager
def opened(file: File) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
  """Opens a file and yields its container and first video stream.

  Raises:
    Unreadable: the file cannot be opened, is beyond a limit, or cannot be decoded inside the `with` block.
  """
  # Four times our limit, because FFmpeg does not report the size of a picture that exceeds FFmpeg's limit.
  name, options = name_of(file), {"format_whitelist": _FORMATS, "max_pixels": str(4 * MAX_PIXELS)}
  try:
    container = av.open(_source(file), options=options, metadata_errors="replace")
  except (av.FFmpegError, OSError) as error:
    beginning = _beginning(file)
    if any(beginning[at:].startswith(words) for at, words in _BEGINNINGS.items()):
      raise Unreadable("truncated", name, "begins like a video, but is incomplete or corrupt.") from error
    raise Unreadable("not_a_video", name, "is not a video of a supported format.") from error
  with container:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
      raise Unreadable("no_frames", name, "contains no video stream.")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
      raise Unreadable("decoder_error", name, "uses a video codec that the installed FFmpeg cannot decode.")
    if context.width * context.height > MAX_PIXELS:
      size = f"{context.width}x{context.height}"
      raise Unreadable("too_large", name, f"has pictures of {size} pixels; at most {MAX_PIXELS} are allowed.")
    if (seconds := declared_seconds(container, stream)) and seconds > MAX_SECONDS:
      raise Unreadable("too_long", name, f"is {seconds:.0f} s long; at most {MAX_SECONDS:.0f} s are allowed.")
    context.options = {"max_pixels": str(MAX_PIXELS)}
    try:
      yield container, stream
    except (av.FFmpegError, OSError) as error:
      words = " ".join(str(error).split())
      raise Unreadable("decoder_error", name, f"cannot be decoded: {words}.") from error


def _source(file: File) -> str | io.IOBase:
  """What PyAV opens: a file's name, or an object to read from. Raises OSError."""
  if isinstance(file, bytes):
    return io.BytesIO(file)
  # Without the prefix, FFmpeg takes a name with a colon for a URL.
  return open_file(os.fspath(file)) if is_address(file) else f"file:{os.fspath(file)}"


def _beginning(file: File) -> bytes:
  """The first 16 bytes of a file. Raises Unreadable if it is empty or cannot be read."""
  try:
    if isinstance(file, bytes):
      beginning = file[:16]
    else:
      with open_file(os.fspath(file)) if is_address(file) else open(file, "rb") as opened:
        beginning = opened.read(16)
  except OSError as error:
    raise Unreadable("no_file", name_of(file), f"cannot be read: {error.strerror or error}.") from error
  if not beginning:
    raise Unreadable("empty", name_of(file), "is empty.")
  return beginning


def declared_seconds(container, stream) -> float:
  """The duration in seconds that the file's header states; 0 if it states none."""
  if stream.duration:
    return float(stream.duration * stream.time_base)
  return (container.duration or 0) / av.time_base


class Clock:
  """Converts between the time stamps of a stream and seconds.

  Attributes:
    origin: time stamp of the start of the stream, in ticks.
    tick: duration of a tick, in seconds.
    early: how many seconds before its time stamp a picture may be shown: half a tick, at most a millisecond.
      Files round time stamps to ticks, so the stamp may lie a little after the exact time.
  """

  def __init__(self, stream):
    self.origin, self.tick = stream.start_time or 0, float(stream.time_base)
    self.early = min(self.tick / 2, 1e-3)

  def seconds(self, picture: av.VideoFrame) -> float:
    """The presentation time of a picture, in seconds from the start of the stream."""
    ticks = picture.dts if picture.pts is None else picture.pts
    return ((ticks or 0) - self.origin) * self.tick

  def ticks(self, seconds: float) -> int:
    """The time stamp at `seconds` from the start of the stream, in ticks, rounded down."""
    return self.origin + math.floor(seconds / self.tick + 1e-6)


def decode(container, stream) -> Iterator:
  """Decodes frames in presentation order from the container's current position; skips corrupt frames."""
  if not stream.codec_context.is_open:
    # By default FFmpeg starts several threads, which wait for one another.
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
  for packet in container.demux(stream):
    if not packet.is_corrupt:
      for frame in packet.decode():
        if not frame.is_corrupt:
          yield frame
