"""Reads MPEG-V Sensory Effect Metadata (SEM, ISO/IEC 23005-3) of any edition.

The channels of touch are vibration (or its location, see `LOCATIONS`), wind, temperature, spray, fog, light,
flash and tactile. The channel of smell is the last word of the scent. MPEG-V has no taste: a
spraying type that ends in ":taste:NAME" is read as the channel NAME of taste.

Times are those of the XML streaming instructions (ISO/IEC 21000-7): `pts`, `ptsDelta` after the last anchor,
or `absTime` in the schemes mp7t and npt. Elements, effects and time schemes that are not known are skipped.
"""

import itertools
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_TOUCH = {"VibrationType": "vibration", "WindType": "wind", "TemperatureType": "temperature"}
_TOUCH |= {"FogType": "fog", "LightType": "light", "FlashType": "flash", "TactileType": "tactile"}
# Channel of touch -> its term in LocationCS (ISO/IEC 23005-6): place across, in height and in depth; "*" is
# any. The scheme has no parts of the body: they are places around the middle of the user.
LOCATIONS = {
  "left": "left:*:*",
  "right": "right:*:*",
  "top": "*:top:*",
  "bottom": "*:bottom:*",
  "left foot": "left:bottom:midway",
  "right foot": "right:bottom:midway",
  "left hand": "left:middle:midway",
  "right hand": "right:middle:midway",
  "body": "center:middle:midway",
}
_CHANNELS = {location: channel for channel, location in LOCATIONS.items()}
# Type of an effect -> the attribute that selects its channel.
_SELECTORS = {"ScentType": "scent", "SprayingType": "sprayingType", "VibrationType": "location"}
_TRUE = ("true", "1")
_MOST = 1_000_000  # Greatest number of effects in a file.
_CLOCK = re.compile(r"T?(\d+):(\d+):(\d+(?:\.\d+)?)(?::(\d+)F(\d+))?")  # T00:01:02:3F25 is 62 s and 3/25 s.


class Event(NamedTuple):
  """A constant intensity, in [0, 1], of a channel from `start` on, for a number of seconds."""

  start: float
  seconds: float
  level: float


def read_effects(data: bytes) -> dict[str, dict[str, list[Event]]]:
  """Reads the effects of a file.

  An effect with activate="false" ends the effect of its channel, or of all channels of its type if it names
  none. It needs no intensity.

  Args:
    data: content of the file.

  Returns:
    Sense -> channel -> its events in order of start; of events with the same start, in order of the file.

  Raises:
    ET.ParseError, ValueError, ZeroDivisionError: the file is not valid.
  """
  root = ET.fromstring(data)
  if not len(root):
    raise ValueError("it has no effects")
  by_type: dict[str, dict[tuple[str, str], list[Event]]] = {}
  for start, scale, attributes in sorted(_File(root).effects(), key=lambda effect: effect[0]):
    kind = attributes.get("type", "").rsplit(":", 1)[-1]
    channels = by_type.setdefault(kind, {})
    is_on = attributes.get("activate", attributes.get("active", "true")) in _TRUE  # "active": of some tools.
    if not is_on and kind in _SELECTORS and _SELECTORS[kind] not in attributes:
      for events in channels.values():
        events.append(Event(start, math.inf, 0.0))
    elif channel := _channel(kind, attributes):
      event = _event(start, scale, attributes) if is_on else Event(start, math.inf, 0.0)
      channels.setdefault(channel, []).append(event)
  found: dict[str, dict[str, list[Event]]] = {}
  for channels in by_type.values():
    for (sense, channel), events in channels.items():
      found.setdefault(sense, {})[channel] = events
  return found


class _File:
  """The elements of a file.

  Attributes:
    declared: id -> element, for references.
    has_anchors: whether the file marks the elements that `ptsDelta` counts from; else all with a time are.
    anchor: time of the last anchor, in seconds.
  """

  def __init__(self, root: ET.Element):
    self.root, self.anchor = root, 0.0
    every = [(element, _attributes(element)) for element in root.iter()]
    self.declared = {known["id"]: element for element, known in every if "id" in known}
    self.has_anchors = any(known.get("anchorElement") in _TRUE for _, known in every)

  def effects(self) -> list[tuple[float, float | None, dict[str, str]]]:
    """(start in seconds, ticks per second, attributes) of each effect, in order of the file."""
    found = list(itertools.islice(self._walk(self.root, {}, 0.0, None, "mp7t", ()), _MOST + 1))
    if len(found) > _MOST:  # References to groups of references multiply.
      raise ValueError(f"it has more than {_MOST} effects")
    return found

  def _walk(self, element, inherited, start: float, scale, scheme: str, followed: tuple) -> Iterator[tuple]:
    tag, own = _local(element.tag), _attributes(element)
    if tag == "Declarations":
      return
    scale = _number(own["timeScale"]) if "timeScale" in own else scale
    scheme = own.get("absTimeScheme", scheme)
    start = self._start(own, start, scale, scheme)
    if start is None:
      return
    if own.get("anchorElement") in _TRUE or (not self.has_anchors and {"pts", "absTime"} & own.keys()):
      self.anchor = start
    whole = {**inherited, **own}
    if tag == "Effect":
      yield start, scale, whole
    elif tag == "ReferenceEffect":
      name = own.get("uri", "").rpartition("#")[2]
      if name in self.declared and name not in followed:
        target = self.declared[name]
        # The attributes of the reference replace those of the declared element.
        merged = ET.Element(target.tag, {**target.attrib, **element.attrib})
        merged.extend(target)
        yield from self._walk(merged, inherited, start, scale, scheme, (*followed, name))
    else:
      passed = whole if tag == "GroupOfEffects" else {}
      for child in element:
        yield from self._walk(child, passed, start, scale, scheme, followed)

  def _start(self, own: Mapping[str, str], start: float, scale: float | None, scheme: str) -> float | None:
    """The time of an element in seconds; by default that of its group. None if its scheme is not known."""
    if "pts" in own:
      return _ticks(own["pts"], scale)
    if "ptsDelta" in own:
      return self.anchor + _ticks(own["ptsDelta"], scale)
    if "absTime" not in own:
      return start
    if scheme not in ("mp7t", "npt"):
      return None
    if match := _CLOCK.fullmatch(own["absTime"].strip()):
      hours, minutes, seconds, count, rate = match.groups(default=None)
      fraction = int(count) / int(rate) if count else 0.0
      return 3600 * int(hours) + 60 * int(minutes) + float(seconds) + fraction
    return _number(own["absTime"])


def _ticks(value: str, scale: float | None) -> float:
  """A time in ticks, in seconds."""
  if scale is None:
    raise ValueError("the attribute timeScale, the number of ticks per second, is missing")
  return _number(value) / scale


def _number(text: str) -> float:
  """The finite number that `text` states. Raises ValueError if it is none."""
  if not math.isfinite(value := float(text)):
    raise ValueError(f"{text!r} is not a finite number")
  return value


def _attributes(element: ET.Element) -> dict[str, str]:
  return {_local(key): value for key, value in element.attrib.items()}


def _local(name: str) -> str:
  """The XML name without its namespace."""
  return name.rsplit("}", 1)[-1]


def _event(start: float, scale: float | None, attributes: Mapping[str, str]) -> Event:
  seconds = _ticks(attributes["duration"], scale) if "duration" in attributes else math.inf
  return Event(start, seconds, _intensity(attributes))


def _intensity(attributes: Mapping[str, str]) -> float:
  """The intensity of an effect within its range, from 0 to 1; 1 if it states none, or the range is empty."""
  if "intensity-value" not in attributes:
    return 1.0
  low, high = map(_number, attributes.get("intensity-range", "0 100").replace(",", " ").split())
  return (_number(attributes["intensity-value"]) - low) / (high - low) if high != low else 1.0


def _channel(kind: str, attributes: Mapping[str, str]) -> tuple[str, str] | None:
  """The sense and channel of an effect; None if they are not known."""
  if kind == "ScentType":
    return ("smell", attributes["scent"].rsplit(":", 1)[-1]) if "scent" in attributes else None
  if kind == "SprayingType":
    taste, _, name = attributes.get("sprayingType", "").rpartition(":")
    return ("taste", name) if taste.endswith(":taste") else ("touch", "spray")
  if kind == "VibrationType":
    location = attributes.get("location", "").rsplit("-NS:", 1)[-1]
    walls = [word for word in location.split(":") if word in LOCATIONS]
    return "touch", _CHANNELS.get(location, walls[0] if walls else "vibration")
  return ("touch", _TOUCH[kind]) if kind in _TOUCH else None
