"""A clip as a small video file that decodes fast: the mezzanine from which training reads."""

import importlib
import math
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from stale_jax.data.curate.remembered import PARTIAL
from stale_jax.data.decode.mux import SOUND_RATE, mux
from stale_jax.data.decode.sound import read_sound
from stale_jax.data.decode.video import frames_at, probe, read_frames
from stale_jax.data.metadata import Described, from_json
from stale_jax.errors import UserError

# Bump it when other bytes come out: what was encoded before is then encoded anew.
VERSION = 1

# A key frame every eight pictures and none that lean on later ones: any moment is a few pictures away.
_OPTIONS = {"crf": "18", "preset": "medium", "tune": "fastdecode", "g": "8", "bf": "0", "threads": "1"}
_SHOWN = 4  # Pictures of a clip that a captioner is given.

# Given pictures of a clip and what is known about its video, says what it shows.
Captioner = Callable[[UInt8[np.ndarray, "4 height width 3"], Described], str]


def encode(
  path: str, out: str, start: float, end: float, short_side: int, most_rate: float, captioner: str, known: str
) -> dict:
  """Writes the clip from `start` to `end` (seconds) of the video `path` as H.264 and AAC to `out`, whole.

  Args:
    short_side, most_rate: see Settings.
    captioner: "module:function" of a Captioner, or "".
    known: the video's Described as JSON, for the captioner.

  Returns:
    width, height, rate, frames and has_sound of what was written, and the captioner's caption.

  Raises:
    Unreadable: the video.
    UserError: there is no such captioner, or it fails.
  """
  about = probe(path)
  rate = Fraction(about.rate or 25).limit_denominator(1001)
  rate /= math.ceil(rate / Fraction(most_rate).limit_denominator(1001))
  scale = min(1, short_side / min(about.height, about.width))
  height, width = (2 * max(1, round(side * scale / 2)) for side in (about.height, about.width))
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
    at = np.linspace(0, len(times) - 1, _SHOWN).round().astype(int)
    written["caption"] = _caption(captioner, read_frames(path, times[at], height, width), from_json(known))
  partial = Path(out).with_name(f"{PARTIAL}{os.getpid()}-{Path(out).name}")
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
  """The function that "module:function" names; raises UserError if there is none."""
  module, _, function = name.partition(":")
  try:
    found = getattr(importlib.import_module(module), function)
  except (ImportError, AttributeError, ValueError) as error:
    raise UserError(f"there is no captioner {name!r} (MODULE:FUNCTION): {error}") from error
  if not callable(found):
    raise UserError(f"the captioner {name!r} is no function.")
  return found


def _caption(name: str, shown: UInt8[np.ndarray, "4 height width 3"], known: Described) -> str:
  try:
    said = find_captioner(name)(shown, known)
  except UserError:
    raise
  except Exception as error:  # It is the user's own.
    raise UserError(f"the captioner {name} fails: {type(error).__name__}: {error}") from error
  if not isinstance(said, str):
    raise UserError(f"the captioner {name} returned {type(said).__name__}, not a string.")
  return " ".join(said.split())


def thumbnails(path: str, times: list[float], height: int) -> list[str]:
  """Pictures of a video as JPEG in hexadecimal, `height` pixels high. Raises Unreadable."""
  about = probe(path)
  width = max(16, round(about.width / about.height * height))
  out = []
  for picture in read_frames(path, times, height, width):
    _, data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 80))
    out.append(data.tobytes().hex())
  return out
