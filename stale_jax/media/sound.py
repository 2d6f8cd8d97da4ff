"""From the sound sense to a waveform: an oscillator a pitch, a burst of noise a click."""

import re

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense, intensity
from stale_jax.data.decode.mux import SOUND_RATE

_FADE = 0.012  # Seconds over which an oscillator's loudness changes.
_CLICK = 0.05  # Seconds of a click.


def synthesise(
  sound: Float[np.ndarray, "frames channels"], sense: Sense, rate: int = SOUND_RATE
) -> Float[np.ndarray, "samples"]:
  """The waveform of `sound`, in [-1, 1], exactly as long as its frames.

  A channel named "262 Hz" is a sine of that pitch, as loud as its intensity. A channel
  named "click" is a burst of noise where its intensity rises past one half. Others are
  silent. If tones and clicks together would clip, all is made quieter alike.
  """
  level = intensity(sound)
  frames = len(level)
  samples = round(frames * rate / sense.rate)
  now = np.arange(samples) / rate
  # Loudness is constant within a frame and glides between frames over the fade.
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
  # Tones fade at both ends of the movie, so that it loops without a crack; a click may be anywhere.
  wave = wave * np.clip(np.minimum(now, samples / rate - now) / _FADE, 0, 1) + clicks
  return (wave / max(np.abs(wave).max(initial=0), 1)).astype(np.float32)


def _burst(rate: int) -> Float[np.ndarray, "samples"]:
  """White noise that dies away; the same every time."""
  since = np.arange(round(_CLICK * rate)) / rate
  noise = np.random.default_rng(0).uniform(-1, 1, since.size)
  return 0.5 * noise * np.exp(-since / (_CLICK / 5))
