"""Opening a video file: what is refused, how errors are named, its clock, its frames in order.

A file is a path or its bytes. PyAV decodes it on one thread.
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

from stale_jax.errors import UserError

File = str | Path | bytes

# Files beyond these limits are refused before they are decoded.
MAX_PIXELS = 7680 * 4320  # Of a picture.
MAX_SECONDS = 6 * 3600.0
# Neither playlists, which would have other files opened, nor pictures.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf"
_BEGINNINGS = {0: (b"\x1aE\xdf\xa3", b"RIFF", b"FLV", b"OggS", b"G@"), 4: (b"ftyp", b"moov", b"mdat")}


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


def name_of(file: File | np.ndarray) -> str:
  """What to call it in a message."""
  if isinstance(file, str | Path):
    return os.fspath(file)
  return f"a video of {len(file)} {'bytes' if isinstance(file, bytes) else 'frames'}"


@contextlib.contextmanager
def opened(file: File) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
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
    if (seconds := declared_seconds(container, stream)) and seconds > MAX_SECONDS:
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


def declared_seconds(container, stream) -> float:
  """How long the file says it is, 0 if it does not."""
  if stream.duration:
    return float(stream.duration * stream.time_base)
  return (container.duration or 0) / av.time_base


class Clock:
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


def decode(container, stream) -> Iterator:
  """Frames in order of presentation, from where the container is."""
  if not stream.codec_context.is_open:
    # FFmpeg's own threads come in numbers of its choosing, and wait for one another.
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
  for packet in container.demux(stream):
    if not packet.is_corrupt:
      for frame in packet.decode():
        if not frame.is_corrupt:
          yield frame
