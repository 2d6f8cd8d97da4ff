"""Converts frames to 8-bit pictures; resizes, encodes as PNG and arranges them on contact sheets."""

import io
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Float, UInt8

from stale_jax.clip import intensity
from stale_jax.data.decode.container import PICTURES, Unreadable, opened
from stale_jax.data.decode.picture import fit_picture
from stale_jax.data.decode.video import first_picture
from stale_jax.errors import UserError
from stale_jax.files import AnyPath


def to_bytes(
  sight: Float[np.ndarray, "*pixels 3"],
) -> UInt8[np.ndarray, "*pixels 3"]:
  """Converts values in [-1, 1] to 0..255."""
  return np.rint(intensity(sight) * 255).astype(np.uint8)


def enlarge(
  frames: UInt8[np.ndarray, "frames height width 3"], least: int = 256
) -> UInt8[np.ndarray, "frames height2 width2 3"]:
  """Repeats pixels until the shorter side has at least `least`; pads odd sides to even ones."""
  times = max(1, -(-least // min(frames.shape[1:3])))
  frames = frames.repeat(times, 1).repeat(times, 2)
  odd = [(0, size % 2) for size in frames.shape[1:3]]
  return np.pad(frames, ((0, 0), *odd, (0, 0)), mode="edge")


def shrink(
  frames: UInt8[np.ndarray, "frames height width 3"], most: int = 128
) -> UInt8[np.ndarray, "frames height2 width2 3"]:
  """Averages blocks of pixels until the shorter side has less than twice `most`."""
  times = max(1, min(frames.shape[1:3]) // most)
  height, width = (size // times for size in frames.shape[1:3])
  blocks = frames[:, : height * times, : width * times].reshape(-1, height, times, width, times, 3)
  return np.rint(blocks.mean((2, 4))).astype(np.uint8) if times > 1 else frames


def png(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
  """Encodes one picture as PNG."""
  codec = av.CodecContext.create("png", "w")
  codec.height, codec.width, codec.pix_fmt = *picture.shape[:2], "rgb24"
  codec.time_base = Fraction(1, 25)  # FFmpeg requires a time base, even for a single picture.
  frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
  out = io.BytesIO()
  for packet in (*codec.encode(frame), *codec.encode(None)):
    out.write(bytes(packet))
  return out.getvalue()


def read_picture(path: str | AnyPath, height: int, width: int) -> Float[np.ndarray, "height width 3"]:
  """Reads a picture file (PNG, JPEG, ...) into [-1, 1], scaled to cover height x width and centre-cropped.

  The file is decoded as a video is, of which the first picture is read: see `data.decode.picture`.

  Raises:
    UserError: the file cannot be read as a picture.
  """
  try:
    with opened(str(path), PICTURES) as (container, stream):
      picture = first_picture(str(path), container, stream)
      pixels = fit_picture(picture, stream, height, width, VideoReformatter(), str(path))
  except Unreadable as error:
    raise UserError(f"{path} cannot be read as a picture: it {error.args[2]}") from error
  return pixels.astype(np.float32) / 127.5 - 1


def strip(sight: Float[np.ndarray, "frames height width 3"], gap: int = 1) -> UInt8[np.ndarray, "h w 3"]:
  """All frames side by side, separated by grey lines."""
  frames = to_bytes(sight)
  line = np.full((frames.shape[1], gap, 3), 96, np.uint8)
  parts = [part for frame in frames for part in (frame, line)][:-1]
  return np.concatenate(parts, 1)


def contact_sheet(sight: Float[np.ndarray, "n frames height width 3"]) -> UInt8[np.ndarray, "h w 3"]:
  """All clips in one picture: one row of frames per clip, separated by grey lines."""
  rows = [strip(clip) for clip in sight]
  line = np.full((1, rows[0].shape[1], 3), 96, np.uint8)
  return np.concatenate([part for row in rows for part in (row, line)][:-1])
