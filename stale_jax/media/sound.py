"""Synthesises a waveform from the sound sense: an oscillator per pitch, a burst of noise per click."""

import re

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense, intensity
from stale_jax.data.decode.mux import SOUND_RATE

_FADE = 0.012  # Seconds over which an oscillator's loudness changes.
_CLICK = 0.05  # Seconds that a click lasts.


def synthesise(
  sound: Float[np.ndarray, "frames channels"], sense: Sense, rate: int = SOUND_RATE
) -> Float[np.ndarray, "samples"]:
  """Computes the waveform of `sound`, in [-1, 1], exactly as long as its frames.

  A channel named "262 Hz" is a sine of that frequency, with the intensity as its amplitude. A channel named
  "click" gives a burst of noise wherever its intensity rises to one half or more. Other channels are silent.
  If the sum exceeds [-1, 1], the whole waveform is scaled down.

  Args:
    sound: values in [-1, 1].
    sense: the description of the sense, with the names of its channels.
    rate: samples per second.
  """
  level = intensity(sound)
  frames = len(level)
  samples = round(frames * rate / sense.rate)
  now = np.arange(samples) / rate
  # Amplitude is constant within a frame, and changes linearly between frames, within _FADE seconds.
  middle = (np.arange(frames) + 0.5) / sense.rate
  flat = max(0.5 / sense.rate - _FADE / 2, 0)
  knots = np.stack([middle - flat, middle + flat], -1).ravel()
  wave, clicks = np.zeros(samples), np.zeros(samples)
  for channel, name in enumerate(sense.channels):
    if pitch := re.fullmatch(r"(\d+(?:\.\d+)?) Hz", name):
      loudness = np.interp(now, knots, np.repeat(level[:, channel], 2))
      wave += 0.4 * loudness * np.sin(2 * np.pi * float(pitch[1]) * now)
    elif name == "click":
      before = np.append(0, level[:-1, channel])
      for frame in np.flatnonzero((level[:, channel] >= 0.5) & (before < 0.5)):
        start = round(frame * rate / sense.rate)
        burst = _burst(rate)[: samples - start]
        clicks[start : start + len(burst)] += level[frame, channel] * burst
  # Tones fade at both ends of the movie, so that it loops without a crack; clicks do not.
  wave = wave * np.clip(np.minimum(now, samples / rate - now) / _FADE, 0, 1) + clicks
  return (wave / max(np.abs(wave).max(initial=0), 1)).astype(np.float32)


def _burst(rate: int) -> Float[np.ndarray, "samples"]:
  """White noise with exponential decay; deterministic."""
  since = np.arange(round(_CLICK * rate)) / rate
  noise = np.random.default_rng(0).uniform(-1, 1, since.size)
  return 0.5 * noise * np.exp(-since / (_CLICK / 5))
