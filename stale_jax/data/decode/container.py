"""Opens video files with PyAV, and rejects unsuitable ones.

A file is given as a path, an address (`data.storage`), or its bytes.
"""

import contextlib
import io
import os
import types
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from stale_jax.data.decode.webp import animation_to_matroska, is_animation, measure_animation
from stale_jax.data.storage import open_file
from stale_jax.errors import UserError
from stale_jax.files import is_address

File = str | Path | bytes

# Files beyond these limits are rejected before they are decoded.
MAX_PIXELS = 7680 * 4320  # Pixels of one picture.
MAX_SECONDS = 6 * 3600.0
_MOST_WEBP_PIXELS = 1 << 28  # Pixels of all pictures of an animated WebP, which are decoded together.
# FFmpeg's names of the supported formats of videos. Playlists, which make FFmpeg open other files, and still
# pictures are excluded. Animated WebP is supported too (`data.decode.webp`).
VIDEOS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf,gif"
# FFmpeg's names of the supported formats of pictures: the first picture of a video is one, too.
PICTURES = f"{VIDEOS},png_pipe,apng,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe"
_BEGINNING = 64  # Number of bytes that tell the format of a file.
# Offset in bytes -> signatures of video formats at this offset.
_BEGINNINGS = {
  0: (
    b"\x1aE\xdf\xa3",
    b"FLV",
    b"OggS",
    b"G@",
    b"GIF8",
    b"\0\0\x01\xba",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
  ),
  4: (b"ftyp", b"moov", b"mdat"),
  8: (b"AVI ",),
}
# Brands of files that contain a still picture in the container of MP4 (ISO/IEC 23008-12).
_STILL_BRANDS = ("avif", "heic", "heix", "heim", "heis", "mif1")


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
      hdr           the video has a high dynamic range, and such videos are left out
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
def opened(file: File, formats: str = VIDEOS) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
  """Opens a file and yields its container and first video stream.

  Args:
    file: the file.
    formats: the formats to accept, VIDEOS or PICTURES.

  Raises:
    Unreadable: the file cannot be opened, is beyond a limit, or cannot be decoded inside the `with` block.
  """
  # Four times our limit, because FFmpeg does not report the size of a picture that exceeds FFmpeg's limit.
  name, options = name_of(file), {"format_whitelist": formats, "max_pixels": str(4 * MAX_PIXELS)}
  kind = "video" if formats == VIDEOS else "picture"
  try:
    source = _source(file, by_name=formats == VIDEOS)
    container = av.open(source, options=options, metadata_errors="replace")
  except (av.FFmpegError, OSError) as error:
    beginning = _beginning(file)
    if any(beginning[at:].startswith(words) for at, words in _BEGINNINGS.items()):
      words = f"begins like a {kind}, but is incomplete or corrupt."
      raise Unreadable("truncated", name, words) from error
    raise Unreadable("not_a_video", name, f"is not a {kind} of a supported format.") from error
  with container:
    if container.metadata.get("major_brand") in _STILL_BRANDS:
      if formats == VIDEOS:
        raise Unreadable("not_a_video", name, "is a still picture, not a video.")
      if len(container.streams.video) > 1:  # FFmpeg does not put together the parts of a HEIC or AVIF file.
        words = "has tiles or transparency, which are not supported in HEIC and AVIF; convert it to PNG."
        raise Unreadable("decoder_error", name, words)
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
    check_length(file, declared_seconds(container, stream))
    context.options = {"max_pixels": str(MAX_PIXELS)}
    try:
      yield container, stream
    except (av.FFmpegError, OSError) as error:
      words = " ".join(str(error).split())
      raise Unreadable("decoder_error", name, f"cannot be decoded: {words}.") from error


def _source(file: File, by_name: bool) -> str | io.IOBase | types.SimpleNamespace:
  """What PyAV opens: a file's name, or a nameless object to read from.

  Raises:
    OSError: the file cannot be read.
    Unreadable: it is an animated WebP that cannot be used.
  """
  stream = _stream(file)
  beginning = stream.read(_BEGINNING)
  if is_animation(beginning):
    with stream:
      return io.BytesIO(_matroska(name_of(file), beginning + stream.read()))
  # FFmpeg takes names of pictures for patterns of the names of many pictures. It reads others faster by name.
  if isinstance(file, bytes) or is_address(file) or not by_name or "%" in os.fspath(file):
    stream.seek(0)
    return types.SimpleNamespace(read=stream.read, seek=stream.seek, tell=stream.tell)
  stream.close()
  # Without the prefix, FFmpeg takes a name with a colon for a URL.
  return f"file:{os.fspath(file)}"


def _matroska(name: str, webp: bytes) -> bytes:
  """An animated WebP as a Matroska file. Raises Unreadable."""
  width, height, frames = measure_animation(webp)
  if (pixels := width * height) > MAX_PIXELS or pixels * frames > _MOST_WEBP_PIXELS:
    raise Unreadable("too_large", name, f"has {frames} pictures of {width}x{height} pixels, too many.")
  try:
    return animation_to_matroska(webp)
  except ValueError as error:
    raise Unreadable("truncated", name, "begins like an animation, but is corrupt.") from error


def _stream(file: File) -> io.IOBase:
  if isinstance(file, bytes):
    return io.BytesIO(file)
  return open_file(os.fspath(file)) if is_address(file) else open(file, "rb")


def _beginning(file: File) -> bytes:
  """The first bytes of a file. Raises Unreadable if it is empty or cannot be read."""
  try:
    with _stream(file) as stream:
      beginning = stream.read(_BEGINNING)
  except OSError as error:
    raise Unreadable("no_file", name_of(file), f"cannot be read: {error.strerror or error}.") from error
  if not beginning:
    raise Unreadable("empty", name_of(file), "is empty.")
  return beginning


def declared_seconds(container, stream) -> float:
  """The duration in seconds that the file's header states for the stream, or else for the file; 0 if none."""
  if stream.duration:
    return float(stream.duration * stream.time_base)
  return (container.duration or 0) / av.time_base


def check_length(file: File, seconds: float) -> None:
  """Raises Unreadable if a video of this duration is too long."""
  if seconds > MAX_SECONDS:
    words = f"is {seconds:.0f} s long; at most {MAX_SECONDS:.0f} s are allowed."
    raise Unreadable("too_long", name_of(file), words)
