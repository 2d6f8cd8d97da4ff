"""Synthesises a waveform from the sound sense, for one or two ears."""

import re

import numpy as np
from jaxtyping import Bool, Float

from stale_jax.clip import Sense, intensity
from stale_jax.data.decode.mux import SOUND_RATE
from stale_jax.media import instruments
from stale_jax.media.ears import Part, by_ear

_FADE = 0.012  # Seconds over which a tone's loudness changes, and over which sound ends.
# Least rise of the loudness that is an event, and least loudness of a motor or a whoosh: what a model leaves
# in silent channels is quieter.
_LEAST = 0.1
_HALF_LIFE = 0.125  # Seconds in which the intensity of an event decays by half.


def synthesise(
  sound: Float[np.ndarray, "frames channels"], sense: Sense, rate: int = SOUND_RATE
) -> Float[np.ndarray, "samples *ears"]:
  """Computes the waveform of `sound`, in [-1, 1], exactly as long as its frames.

  The names of the channels say what sounds:

    262 Hz                  a sine of that frequency, with the intensity as its amplitude
    click                   a burst of noise wherever the intensity rises to one half or more
    step, landing, chime    an event wherever the loudness rises
    motor, whoosh           a hum, or wind, as loud as the intensity

  A name may end with an ear, as in "step left"; "262 Hz left" is a plucked string, and an event. Channels
  without an ear are heard with both. Other channels are silent. If the sum exceeds [-1, 1], the whole
  waveform is scaled down.

  The loudness of an event is the root of the sum of the squares of both ears, since panning keeps it. An
  event begins where the loudness is at least .1 above that of the previous frame, decayed by half every
  1/8 s. Each ear then hears it with its own intensity.

  Args:
    sound: values in [-1, 1].
    sense: the description of the sense, with the names of its channels.
    rate: samples per second.

  Returns:
    [samples], or [samples, (left, right)] if a channel names an ear.
  """
  parts = by_ear(intensity(sound), sense.channels)
  now = np.arange(round(len(sound) * rate / sense.rate)) / rate
  wave = np.zeros((parts[0].level.shape[1], now.size))
  for part in parts:
    _sustain(wave, part, sense.rate, rate)
  # Tones fade at both ends of the movie, so that it loops without a crack; a click does not.
  ending = np.clip((now.size / rate - now) / _FADE, 0, 1)
  wave *= np.clip(np.minimum(now, now.size / rate - now) / _FADE, 0, 1)
  for part in parts:
    if part.name == "click":
      level = part.level.max(1)
      is_onset = (level >= 0.5) & (np.append(0, level[:-1]) < 0.5)
      _strike(wave, instruments.click(rate), part.level, is_onset, rate / sense.rate)
    elif (burst := _burst(part, rate)) is not None:
      _strike(wave, burst, part.level, _onsets(part.level, sense.rate), rate / sense.rate, ending)
  wave = (wave / max(np.abs(wave).max(initial=0), 1)).astype(np.float32)
  return wave[0] if len(wave) == 1 else np.ascontiguousarray(wave.T)


def _pitch(name: str) -> float | None:
  """The frequency that a name such as "262 Hz" states."""
  match = re.fullmatch(r"(\d+(?:\.\d+)?) Hz", name)
  return float(match[1]) if match else None


def _sustain(wave: Float[np.ndarray, "ears samples"], part: Part, frame_rate: float, rate: int) -> None:
  """Adds a sound that lasts to `wave`, if `part` is one."""
  level, fade = part.level, 1 / frame_rate
  if (pitch := _pitch(part.name)) and not part.is_panned:
    instrument, fade = instruments.sine(pitch), _FADE
  elif instrument := instruments.SUSTAINED.get(part.name):
    level = level * np.clip(_loudness(level) / _LEAST - 1, 0, 1)[:, None]
  else:
    return
  # Amplitude is constant within a frame, and changes linearly between frames, within `fade` seconds.
  middle = (np.arange(len(level)) + 0.5) / frame_rate
  flat = max(0.5 / frame_rate - fade / 2, 0)
  knots = np.stack([middle - flat, middle + flat], -1).ravel()
  now = np.arange(wave.shape[1]) / rate
  for ear, column in zip(wave, level.T, strict=True):
    if column.any():
      ear += instrument(np.interp(now, knots, np.repeat(column, 2)), rate)


def _burst(part: Part, rate: int) -> Float[np.ndarray, "samples"] | None:
  """The waveform of an event; None if `part` is no event."""
  if part.name in instruments.STRUCK:
    return instruments.STRUCK[part.name](rate)
  pitch = _pitch(part.name)
  return instruments.pluck(pitch, rate) if pitch and part.is_panned else None


def _loudness(level: Float[np.ndarray, "frames ears"]) -> Float[np.ndarray, "frames"]:
  return np.sqrt(np.square(level).sum(1))


def _onsets(level: Float[np.ndarray, "frames ears"], frame_rate: float) -> Bool[np.ndarray, "frames"]:
  """The frames in which an event begins."""
  loudness = _loudness(level)
  decayed = loudness[:-1] * 0.5 ** (1 / (_HALF_LIFE * frame_rate))
  return loudness - np.append(0, decayed) >= _LEAST


def _strike(
  wave: Float[np.ndarray, "ears samples"],
  burst: Float[np.ndarray, "struck"],
  level: Float[np.ndarray, "frames ears"],
  is_onset: Bool[np.ndarray, "frames"],
  samples_per_frame: float,
  ending: Float[np.ndarray, "samples"] | float = 1.0,
) -> None:
  """Adds `burst` to `wave` at each onset, as loud as each ear hears it; `ending` fades what rings on."""
  struck = np.zeros_like(wave)
  for frame in np.flatnonzero(is_onset):
    start = round(frame * samples_per_frame)
    inside = burst[: wave.shape[1] - start]
    struck[:, start : start + len(inside)] += level[frame, :, None] * inside
  wave += struck * ending
