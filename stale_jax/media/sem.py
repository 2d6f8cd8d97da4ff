"""Writes touch, smell and taste as MPEG-V Sensory Effect Metadata (ISO/IEC 23005-3, 2010 namespaces)."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import numpy as np
from jaxtyping import Real

from stale_jax.clip import Sense, intensity
from stale_jax.data.decode.effects import LOCATIONS
from stale_jax.files import AnyPath

SEDL = "urn:mpeg:mpeg-v:2010:01-SEDL-NS"
SEV = "urn:mpeg:mpeg-v:2010:01-SEV-NS"
SI = "urn:mpeg:mpeg21:2003:01-DIA-XSI-NS"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
TIMESCALE = 90_000
_SCENT = "urn:mpeg:mpeg-v:01-SI-ScentCS-NS:"
_LOCATION = "urn:mpeg:mpeg-v:01-SI-LocationCS-NS:"
# MPEG-V has no effect for taste: taste is written as a spray with our own classification term.
_TASTE = "urn:stale_jax:taste:"
_ON, _OFF = 0.2, 0.1  # Intensities at which an effect starts and ends.
_HOLD = 0.1  # An effect ends and a new one starts if the intensity changes by more than this.
_LEAST = 0.1  # Minimal duration of an effect in seconds, since devices are slow.


def _attributes(sense: str, channel: str) -> dict[str, str] | None:
  """XML attributes of the effects of a channel; None for senses without an effect type."""
  if sense == "touch":
    location = LOCATIONS.get(channel)
    return {"type": "sev:VibrationType"} | ({"location": _LOCATION + location} if location else {})
  if sense == "smell":
    return {"type": "sev:ScentType", "scent": _SCENT + channel}
  if sense == "taste":
    return {"type": "sev:SprayingType", "sprayingType": _TASTE + channel}
  return None


def _runs(level: Real[np.ndarray, "frames"], least: int) -> list[list[int]]:
  """Splits the intensities of a channel, in [0, 1], into runs of nearly constant intensity.

  Args:
    level: intensity in each frame.
    least: minimal number of frames of a run, except at the end.

  Returns:
    [first frame, frame after the last, per cent] of each run. The percentage is the highest intensity in the
    first `least` frames.
  """
  runs: list[list[int]] = []
  for frame, value in enumerate(level):
    percent = 5 * round(20 * float(value))
    last = runs[-1] if runs and runs[-1][1] == frame else None
    if last and frame - last[0] < least:
      last[1:] = frame + 1, max(last[2], percent)
    elif last and value >= _OFF and abs(value - last[2] / 100) <= _HOLD:
      last[1] = frame + 1
    elif value >= (_OFF if last else _ON):
      runs.append([frame, frame + 1, percent])
  return runs


def write_sem(path: AnyPath, clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense]) -> int:
  """Writes the effects of the clip's senses [frames, channels] to `path`, in order of time.

  Intensities are multiples of 5 per cent. An effect lasts at least .1 s, except at the end of the movie, and
  has the highest intensity of its first .1 s; later it differs from the sense by at most 10 percentage
  points. Senses other than touch, smell and taste have no effect type: they are only in the arrays of
  `write_arrays`, whose JSON file describes every sense.

  Returns:
    The number of effects. If it is 0, no file is written, since the format requires at least one.
  """
  for prefix, uri in (("", SEDL), ("sev", SEV), ("si", SI), ("xsi", XSI)):
    ET.register_namespace(prefix, uri)
  effects = []
  for name, values in clip.items():
    if name in ("sight", "sound"):
      continue
    level = intensity(values).reshape(len(values), -1)
    rate = senses[name].rate
    for channel, label in enumerate(senses[name].channels):
      attributes = _attributes(name, label)
      for start, end, percent in _runs(level[:, channel], math.ceil(_LEAST * rate)) if attributes else ():
        pts = round(start * TIMESCALE / rate)
        effects.append((pts, round(end * TIMESCALE / rate) - pts, percent, attributes))
  if not effects:
    return 0
  root = ET.Element(
    f"{{{SEDL}}}SEM", {f"{{{SI}}}timeScale": str(TIMESCALE), f"{{{SI}}}absTimeScheme": "mp7t"}
  )
  # ElementTree drops prefixes that occur only in attribute values.
  root.set("xmlns:sev", SEV)
  if any("sprayingType" in attributes for *_, attributes in effects):
    root.append(ET.Comment(f" MPEG-V has no taste: it is a SprayingType whose term begins with {_TASTE} "))
  for pts, duration, percent, attributes in sorted(effects, key=lambda effect: effect[:2]):
    effect = ET.SubElement(root, f"{{{SEDL}}}Effect")
    effect.set(f"{{{XSI}}}type", attributes["type"])
    for key in ("location", "scent", "sprayingType"):
      if key in attributes:
        effect.set(key, attributes[key])
    effect.set("activate", "true")
    effect.set("duration", str(duration))
    effect.set("intensity-value", str(percent))
    effect.set("intensity-range", "0 100")
    effect.set(f"{{{SI}}}pts", str(pts))
  ET.indent(root)
  ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
  return len(effects)
