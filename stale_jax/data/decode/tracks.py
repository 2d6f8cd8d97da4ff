"""Touch, smell and taste recorded beside a video, as senses of its frames.

Of a video NAME.mp4, the first of these that knows of a sense tells it:

  NAME.npz      with NAME.json: arrays as `media.save_movie` writes them, exact
  NAME.sem.xml  MPEG-V Sensory Effect Metadata (ISO/IEC 23005-3), of any year
  NAME.hjif     MPEG haptics (ISO/IEC 23090-31), for touch

A channel is asked for by its name. Of touch, MPEG-V's names are vibration (or the wall where it is: left,
right, top, bottom), wind, temperature, spray, fog, light, flash and tactile; of smell, the last word of
the scent; of taste, which MPEG-V has not, of a spray's type. Those of haptics are their descriptions.
Where nothing is said of a channel, it is -1; a sense of which nothing at all is said is not there.
"""

import functools
import json
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Real

from stale_jax.clip import Sense
from stale_jax.data.decode.container import Unreadable
from stale_jax.files import AnyPath

# What the files' readers say of broken ones.
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, EOFError, ZeroDivisionError)
_BROKEN += (RecursionError, ET.ParseError, zipfile.BadZipFile, zlib.error)
_TOUCH = {"VibrationType": "vibration", "WindType": "wind", "TemperatureType": "temperature"}
_TOUCH |= {"FogType": "fog", "LightType": "light", "FlashType": "flash", "TactileType": "tactile"}
_WALLS = ("left", "right", "top", "bottom")
_TAP = 0.05  # Seconds that a transient of haptics is felt.

# The readers keep what they read; `changed`, the time of the file's last change, keeps it true.
# Sense -> channel -> its intensity in [0, 1] in each of the frames that begin at these times.
Frames = Real[np.ndarray, "frames"]
Track = dict[str, dict[str, Callable[[Frames], Frames]]]


def read_tracks(
  video: str | AnyPath, senses: Mapping[str, Sense], times: Frames
) -> dict[str, Float[np.ndarray, "frames channels"]]:
  """Those of `senses` that a track beside `video` tells, in [-1, 1], at `times` in seconds.

  Raises:
    Unreadable: a track that is there cannot be understood.
  """
  found: dict[str, np.ndarray] = {}
  for ending, reader in ((".npz", _arrays), (".sem.xml", _effects), (".hjif", _haptics)):
    path = Path(video).with_suffix(ending)
    if set(senses) - set(found) and path.exists():
      try:
        track = reader(path, path.stat().st_mtime_ns)
        told = {name: track[name] for name in senses if name in track and name not in found}
        for name, channels in told.items():
          none = np.zeros(len(times))
          level = [channels[c](times) if c in channels else none for c in senses[name].channels]
          found[name] = (2 * np.clip(np.stack(level, -1), 0, 1) - 1).astype(np.float32)
      except _BROKEN as error:
        words = f"cannot be understood: {' '.join(str(error).split()) or type(error).__name__}."
        raise Unreadable("broken_track", str(path), words) from error
  return found


@functools.lru_cache(maxsize=256)
def _arrays(path: AnyPath, changed: int) -> Track:
  described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["senses"]
  track: Track = {}
  with np.load(path) as file:
    for name in set(file) & set(described) - {"sight", "sound"}:
      values = (file[name].astype(np.float32) + 1) / 2
      rate, channels = float(described[name]["rate"]), described[name]["channels"]
      if values.ndim != 2 or values.shape[1] != len(channels) or not rate > 0:
        raise ValueError(f"{name} is no sense of {len(channels)} channels")
      track[name] = {c: functools.partial(_sampled, values[:, i], rate) for i, c in enumerate(channels)}
  return track


def _sampled(values: np.ndarray, rate: float, times: Frames) -> Frames:
  """What holds at each time; nothing after the end."""
  frame = np.floor(times * rate + 1e-6).astype(int)
  return np.where(frame < len(values), values[np.clip(frame, 0, len(values) - 1)], 0)


@functools.lru_cache(maxsize=256)
def _effects(path: AnyPath, changed: int) -> Track:
  root = ET.parse(path).getroot()
  scale = float({_local(key): value for key, value in root.attrib.items()}["timeScale"])
  events: dict[str, dict[str, list]] = {}
  for pts, attributes in _walk(root, 0.0):
    if (kind := _kind(attributes)) is None:
      continue
    sense, channel = kind
    low, high = map(float, attributes.get("intensity-range", "0 100").split())
    level = (
      (float(attributes["intensity-value"]) - low) / (high - low) if "intensity-value" in attributes else 1
    )
    level = level if attributes.get("activate", "true") in ("true", "1") else 0
    lasts = float(attributes["duration"]) / scale if "duration" in attributes else np.inf
    events.setdefault(sense, {}).setdefault(channel, []).append((pts / scale, lasts, level))
  return {
    sense: {channel: functools.partial(_lasting, sorted(each)) for channel, each in channels.items()}
    for sense, channels in events.items()
  }


def _walk(element, pts: float):
  """(time in ticks, attributes without namespaces) of every effect; a group's time is its effects'."""
  attributes = {_local(key): value for key, value in element.attrib.items()}
  pts = float(attributes.get("pts", pts))
  if _local(element.tag) == "Effect":
    yield pts, attributes
  for child in element:
    if _local(child.tag) != "Declarations":
      yield from _walk(child, pts)


def _local(name: str) -> str:
  """Without its namespace."""
  return name.rsplit("}", 1)[-1]


def _kind(attributes: Mapping[str, str]) -> tuple[str, str] | None:
  """The sense and channel of an effect; None if it is of no sense of ours."""
  kind = attributes.get("type", "").rsplit(":", 1)[-1]
  if kind == "ScentType":
    return "smell", attributes["scent"].rsplit(":", 1)[-1]
  if kind == "SprayingType":
    taste, _, name = attributes.get("sprayingType", "").rpartition(":")
    return ("taste", name) if taste.endswith(":taste") else ("touch", "spray")
  if kind == "VibrationType":
    place = attributes.get("location", "").rsplit("-NS:", 1)[-1].split(":")
    walls = [word for word in place if word in _WALLS]
    return "touch", walls[0] if walls else "vibration"
  return ("touch", _TOUCH[kind]) if kind in _TOUCH else None


def _lasting(events: list[tuple[float, float, float]], times: Frames) -> Frames:
  """The level of the last effect that has begun at each time, while it lasts."""
  begins, lasts, levels = np.array(events).T
  last = np.searchsorted(begins, times + 1e-6, side="right") - 1
  on = (last >= 0) & (times + 1e-6 < begins[last] + lasts[last])
  return np.where(on, levels[last], 0)


@functools.lru_cache(maxsize=256)
def _haptics(path: AnyPath, changed: int) -> Track:
  file = json.loads(path.read_text(encoding="utf-8"))
  scale = float(file.get("timescale", 1000))
  channels: dict[str, Callable] = {}
  for perception in file["perceptions"]:
    for channel in perception["channels"]:
      curves = []
      for band in channel["bands"]:
        curves += [_curve(effect, band["band_type"], scale) for effect in band["effects"]]
      name = str(channel.get("description", "")).strip().lower() or "vibration"
      channels[name] = functools.partial(_strongest, curves, float(channel.get("gain", 1)))
  return {"touch": channels} if channels else {}


def _curve(effect: Mapping, kind: str, scale: float) -> tuple[np.ndarray, np.ndarray]:
  """(times in seconds, amplitudes) of the corners of an effect."""
  keys = [k for k in effect["keyframes"] if k.get("amplitude_modulation") is not None]
  at = [(float(effect.get("position", 0)) + float(k.get("relative_position", 0))) / scale for k in keys]
  strong = [abs(float(k["amplitude_modulation"])) for k in keys]
  if kind == "Transient":
    return np.repeat(at, 2) + np.tile([0, _TAP], len(at)), np.repeat(strong, 2)
  return np.array(at), np.array(strong)


def _strongest(curves: list[tuple[np.ndarray, np.ndarray]], gain: float, times: Frames) -> Frames:
  """The greatest amplitude of all curves in each frame: what is felt is often shorter than one."""
  step = float(np.diff(times).min()) if len(times) > 1 else 1.0
  fine = times[:, None] + np.arange(16) / 16 * step
  level = np.zeros(fine.shape)
  for at, strong in curves:
    if len(at):
      level = np.maximum(level, np.interp(fine, at, strong, left=0, right=0))
  return gain * level.max(1)
