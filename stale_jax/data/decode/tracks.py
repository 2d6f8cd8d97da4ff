"""Reads touch, smell and taste from files beside a video, sampled at the frames of a clip.

For a video NAME.mp4, each sense is read from the first of these files that contains it:

  NAME.npz      with NAME.json: arrays without loss, as written by `media.save_movie`
  NAME.sem.xml  MPEG-V Sensory Effect Metadata (ISO/IEC 23005-3), any edition
  NAME.hjif     MPEG haptics (ISO/IEC 23090-31), for touch

Channels are selected by name; `data.decode.effects` lists those of MPEG-V. In MPEG haptics, a channel's name
is its description. A channel without data is -1 in all frames; a sense without data is absent.
"""

import functools
import io
import json
import os
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Real

from stale_jax.clip import Sense
from stale_jax.data.decode.container import Unreadable
from stale_jax.data.decode.effects import Event, read_effects
from stale_jax.data.storage import beside, read, version
from stale_jax.files import AnyPath

_TRANSIENT = 0.05  # Duration assigned to a haptic transient, in seconds.

ENDINGS_OF_TRACKS = (".npz", ".json", ".sem.xml", ".hjif")
# Start times of frames, in seconds; or one value for each frame.
Frames = Real[np.ndarray, "frames"]
# Sense -> channel -> a function from start times to the intensity, in [0, 1], in each frame. The readers of
# tracks are cached; their argument `changed`, the file's modification time, invalidates the cache.
Track = dict[str, dict[str, Callable[[Frames], Frames]]]


def read_tracks(
  video: str | AnyPath, senses: Mapping[str, Sense], times: Frames
) -> dict[str, Float[np.ndarray, "frames channels"]]:
  """Reads `senses` from the files beside a video.

  Args:
    video: path of the video.
    senses: name -> sense. The channels of the sense are read.
    times: start time of each frame, in seconds.

  Returns:
    Sense -> values in [-1, 1]. Senses without data are absent.

  Raises:
    Unreadable: "broken_track", a file beside the video cannot be parsed.
  """
  values: dict[str, np.ndarray] = {}
  for ending, reader in ((".npz", _arrays), (".sem.xml", _effects), (".hjif", _haptics)):
    path = beside(os.fspath(video), ending)
    if set(senses) - set(values):
      try:
        if (changed := version(path)) is None:
          continue
        track = reader(path, changed)
        new = {name: track[name] for name in senses if name in track and name not in values}
        for name, channels in new.items():
          zero = np.zeros(len(times))
          levels = [channels[c](times) if c in channels else zero for c in senses[name].channels]
          values[name] = (2 * np.clip(np.stack(levels, -1), 0, 1) - 1).astype(np.float32)
      except Exception as error:  # Parsers raise many types on malformed files.
        words = f"cannot be parsed: {' '.join(str(error).split()) or type(error).__name__}."
        raise Unreadable("broken_track", path, words) from error
  return values


def _bytes(path: str) -> bytes:
  """The content of a file. Raises OSError if it does not exist."""
  if (data := read(path)) is None:
    raise FileNotFoundError(f"{path} does not exist")
  return data


@functools.lru_cache(maxsize=256)
def _arrays(path: str, changed: int) -> Track:
  described = json.loads(_bytes(beside(path, ".json")))["senses"]
  track: Track = {}
  with np.load(io.BytesIO(_bytes(path))) as file:
    for name in set(file) & set(described) - {"sight", "sound"}:
      values = (file[name].astype(np.float32) + 1) / 2
      rate, channels = float(described[name]["rate"]), described[name]["channels"]
      if values.ndim != 2 or values.shape[1] != len(channels) or not rate > 0:
        expected = f"[frames, {len(channels)}] and a positive rate"
        raise ValueError(f"{name} has shape {values.shape} and rate {rate}; expected {expected}")
      track[name] = {c: functools.partial(_sampled, values[:, i], rate) for i, c in enumerate(channels)}
  return track


def _sampled(values: np.ndarray, rate: float, times: Frames) -> Frames:
  """The value of `values`, sampled at `rate` per second, at each time (zero-order hold); 0 after the end."""
  frame = np.floor(times * rate + 1e-6).astype(int)
  return np.where(frame < len(values), values[np.clip(frame, 0, len(values) - 1)], 0)


@functools.lru_cache(maxsize=256)
def _effects(path: str, changed: int) -> Track:
  return {
    sense: {channel: functools.partial(_level, events) for channel, events in channels.items()}
    for sense, channels in read_effects(_bytes(path)).items()
  }


def _level(events: list[Event], times: Frames) -> Frames:
  """The level, at each time, of the effect that started last; 0 if it has ended, or if none has started.

  Args:
    events: in order of start.
    times: in seconds.
  """
  starts, seconds, levels = np.array(events).T
  last = np.searchsorted(starts, times + 1e-6, side="right") - 1
  active = (last >= 0) & (times + 1e-6 < starts[last] + seconds[last])
  return np.where(active, levels[last], 0)


@functools.lru_cache(maxsize=256)
def _haptics(path: str, changed: int) -> Track:
  file = json.loads(_bytes(path))
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
  """(times in seconds, amplitudes) of an effect's key frames. A transient becomes a short pulse."""
  keys = [k for k in effect["keyframes"] if k.get("amplitude_modulation") is not None]
  times = [(float(effect.get("position", 0)) + float(k.get("relative_position", 0))) / scale for k in keys]
  amplitudes = [abs(float(k["amplitude_modulation"])) for k in keys]
  if kind == "Transient":
    return np.repeat(times, 2) + np.tile([0, _TRANSIENT], len(times)), np.repeat(amplitudes, 2)
  return np.array(times), np.array(amplitudes)


def _strongest(curves: list[tuple[np.ndarray, np.ndarray]], gain: float, times: Frames) -> Frames:
  """The largest amplitude of all curves within each frame, times `gain`.

  Each frame is sampled at 16 times, because effects can be shorter than a frame.

  Args:
    curves: (times in seconds, amplitudes) of each effect, between which amplitudes are interpolated.
    gain: factor of the amplitudes.
    times: start times of the frames, in seconds.
  """
  step = float(np.diff(times).min()) if len(times) > 1 else 1.0
  fine = times[:, None] + np.arange(16) / 16 * step
  level = np.zeros(fine.shape)
  for keys, amplitudes in curves:
    if len(keys):
      level = np.maximum(level, np.interp(fine, keys, amplitudes, left=0, right=0))
  return gain * level.max(1)
