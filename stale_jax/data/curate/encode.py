"""Encodes a clip as a small video file that decodes fast, from which training reads (a mezzanine file)."""

import functools
import importlib
import math
import os
import uuid
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from stale_jax.data.curate.result_cache import PARTIAL
from stale_jax.data.curate.vision_endpoint import ask_for_caption
from stale_jax.data.decode.mux import SOUND_RATE, mux
from stale_jax.data.decode.sound import read_sound
from stale_jax.data.decode.video import frames_at, probe, read_frames
from stale_jax.data.metadata import Described, from_json
from stale_jax.errors import UserError

# Increment when the encoded bytes change; cached clips are then encoded again.
VERSION = 3

# A key frame every eight pictures, and no B-frames: seeking to any time decodes at most eight pictures.
_OPTIONS = {"crf": "18", "preset": "medium", "tune": "fastdecode", "g": "8", "bf": "0", "threads": "1"}
_SHOWN = 4  # Number of pictures of a clip that a captioner receives.

# A function from four RGB pictures of a clip and the metadata of its video to a caption.
Captioner = Callable[[UInt8[np.ndarray, "4 height width 3"], Described], str]


def encode(
  path: str, out: str, start: float, end: float, short_side: int, most_rate: float, captioner: str, known: str
) -> dict:
  """Encodes a clip as MP4 with H.264 and AAC. The file appears only when it is complete.

  Args:
    path: the video.
    out: the file to write.
    start, end: the clip, in seconds of the video.
    short_side, most_rate: see `Settings`.
    captioner: name of a `Captioner` (see `find_captioner`), or "" for none.
    known: the video's metadata (`Described`) as JSON, for the captioner; otherwise unused.

  Returns:
    `width`, `height`, `rate`, `frames` and `has_sound` of the written file; with a captioner, also `caption`.

  Raises:
    Unreadable: the video cannot be decoded.
    UserError: the captioner does not exist or fails.
  """
  properties = probe(path)
  rate = Fraction(properties.rate or 25).limit_denominator(1001)
  rate /= math.ceil(rate / Fraction(most_rate).limit_denominator(1001))
  scale = min(1, short_side / min(properties.height, properties.width))
  height, width = (2 * max(1, round(side * scale / 2)) for side in (properties.height, properties.width))
  times = start + np.arange(max(1, math.floor((end - start) * rate + 1e-6))) / float(rate)
  sound = read_sound(path, SOUND_RATE, start, len(times) / float(rate))
  written = {
    "width": width,
    "height": height,
    "rate": round(float(rate), 4),
    "frames": len(times),
    "has_sound": sound is not None,
  }
  if captioner:
    indices = np.linspace(0, len(times) - 1, _SHOWN).round().astype(int)
    pictures = read_frames(path, times[indices], height, width)
    written["caption"] = _caption(captioner, pictures, from_json(known))
  partial = Path(out).with_name(f"{PARTIAL}{uuid.uuid4().hex}-{Path(out).name}")
  partial.parent.mkdir(parents=True, exist_ok=True)
  try:
    mux(
      partial,
      frames_at(path, times, height, width),
      (height, width),
      rate,
      sound,
      container="mp4",
      codec=("libx264", _OPTIONS),
      sound_codec="aac",
    )
    os.replace(partial, out)
  finally:
    partial.unlink(missing_ok=True)
  return written


def find_captioner(name: str) -> Captioner:
  """The captioner "module:function", or the one that asks a vision model, "openai:MODEL".

  Raises:
    UserError: it does not exist or is not callable.
  """
  module, _, function = name.partition(":")
  if module == "openai" and function:
    return functools.partial(ask_for_caption, function)
  try:
    captioner = getattr(importlib.import_module(module), function)
  except (ImportError, AttributeError, ValueError) as error:
    raise UserError(f"there is no captioner {name!r} (MODULE:FUNCTION or openai:MODEL): {error}") from error
  if not callable(captioner):
    raise UserError(f"the captioner {name!r} is not a function.")
  return captioner


def _caption(name: str, pictures: UInt8[np.ndarray, "4 height width 3"], known: Described) -> str:
  try:
    caption = find_captioner(name)(pictures, known)
  except UserError:
    raise
  except Exception as error:  # The captioner is the user's code and may raise anything.
    raise UserError(f"the captioner {name} fails: {type(error).__name__}: {error}") from error
  if not isinstance(caption, str):
    raise UserError(f"the captioner {name} returned {type(caption).__name__}, not a string.")
  return " ".join(caption.split())


def thumbnails(path: str, times: list[float], height: int) -> list[str]:
  """The pictures of a video at `times` (in seconds), `height` pixels high, as JPEG files in hexadecimal.

  Raises:
    Unreadable: the video cannot be decoded.
  """
  properties = probe(path)
  width = max(16, round(properties.width / properties.height * height))
  out = []
  for picture in read_frames(path, times, height, width):
    _, data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 80))
    out.append(data.tobytes().hex())
  return out
