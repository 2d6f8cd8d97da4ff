"""Reads animated WebP files, which FFmpeg cannot decode, with OpenCV."""

import io
import struct
from fractions import Fraction

import av
import cv2
import numpy as np

_MILLISECOND = Fraction(1, 1000)
_DELAY = 100  # Milliseconds for which a picture without a duration is shown, as FFmpeg does for GIF.


def is_animation(beginning: bytes) -> bool:
  """Whether a file that begins with these bytes (at least 21) is an animated WebP."""
  animated = len(beginning) > 20 and bool(beginning[20] & 2)
  return beginning[:4] == b"RIFF" and beginning[8:16] == b"WEBPVP8X" and animated


def measure_animation(data: bytes) -> tuple[int, int, int]:
  """(width, height, number of pictures) that the chunks of an animated WebP state."""
  at, frames = 12, 0
  while at + 8 <= len(data):
    name, size = struct.unpack_from("<4sI", data, at)
    frames += name == b"ANMF"
    at += 8 + size + size % 2
  width, height = (1 + int.from_bytes(data[start : start + 3], "little") for start in (24, 27))
  return width, height, frames


def animation_to_matroska(data: bytes) -> bytes:
  """Converts an animated WebP to a Matroska file with the same pixels (FFV1) and times.

  Raises:
    ValueError: the file is damaged.
  """
  width, height, frames = measure_animation(data)
  level = cv2.utils.logging.getLogLevel()
  cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
  try:
    whole, animation = cv2.imdecodeanimation(np.frombuffer(data, np.uint8))
  except cv2.error as error:
    raise ValueError("the animation is damaged.") from error
  finally:
    cv2.utils.logging.setLogLevel(level)
  if not whole or len(animation.frames) != frames:
    raise ValueError("the animation is damaged.")
  delays = [int(delay) or _DELAY for delay in animation.durations]
  out, now = io.BytesIO(), 0
  with av.open(out, "w", format="matroska") as file:
    stream = file.add_stream("ffv1", rate=Fraction(1000 * frames, sum(delays)).limit_denominator(1001))
    stream.width, stream.height, stream.pix_fmt = width, height, "bgra"
    stream.codec_context.thread_count, stream.codec_context.time_base = 1, _MILLISECOND
    for pixels, delay in zip(animation.frames, delays, strict=True):
      if pixels.shape[2] == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA)
      frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgra")
      frame.pts, frame.time_base, frame.duration, now = now, _MILLISECOND, delay, now + delay
      for packet in stream.encode(frame):
        packet.duration = delay
        file.mux(packet)
    file.mux(stream.encode(None))
  return out.getvalue()
