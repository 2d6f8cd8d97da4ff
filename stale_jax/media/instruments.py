"""Waveforms of the instruments that `media.sound` plays: deterministic, and about equally loud."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

# A function from the loudness of each sample, in [0, 1], and the samples per second to the waveform.
Sustained = Callable[[Float[np.ndarray, "samples"], int], Float[np.ndarray, "samples"]]

_CLICK = 0.05  # Seconds that a click lasts.


def _time(seconds: float, rate: int) -> Float[np.ndarray, "samples"]:
  return np.arange(round(seconds * rate)) / rate


def _thump(now: Float[np.ndarray, "samples"], high: float, low: float, decay: float) -> np.ndarray:
  """A decaying sine whose pitch glides from `high` to `low` Hz, as of a drum."""
  glide = 0.03  # Time constant of the glide, in seconds.
  cycles = low * now + (high - low) * glide * (1 - np.exp(-now / glide))
  return np.sin(2 * np.pi * cycles) * np.exp(-now / decay)


def _hiss(rate: int, low: float, high: float, seconds: float) -> Float[np.ndarray, "samples"]:
  """Noise between `low` and `high` Hz with a root mean square of 1. It repeats without a seam."""
  count = round(seconds * rate)
  spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(count))
  frequency = np.fft.rfftfreq(count, 1 / rate)
  # Third-order slopes on both sides.
  spectrum *= 1 / np.sqrt(1 + (low / np.maximum(frequency, 1)) ** 6 + (frequency / high) ** 6)
  noise = np.fft.irfft(spectrum, count)
  return noise / np.sqrt(np.mean(noise**2))


@functools.cache
def click(rate: int) -> Float[np.ndarray, "samples"]:
  """White noise with exponential decay."""
  since = _time(_CLICK, rate)
  noise = np.random.default_rng(0).uniform(-1, 1, since.size)
  return 0.5 * noise * np.exp(-since / (_CLICK / 5))


@functools.cache
def step(rate: int) -> Float[np.ndarray, "samples"]:
  """A soft, low thump with a short tap, which small loudspeakers play, too."""
  since = _time(0.4, rate)
  tap = _hiss(rate, 500, 2500, 0.4) * np.exp(-since / 0.006)
  return _attack(since, 0.001) * (0.5 * _thump(since, 260, 110, 0.05) + 0.14 * tap)


@functools.cache
def landing(rate: int) -> Float[np.ndarray, "samples"]:
  """A deeper and longer thump than a step, with a thud."""
  since = _time(0.9, rate)
  thud = _hiss(rate, 80, 600, 0.9) * np.exp(-since / 0.06)
  return _attack(since, 0.002) * (0.55 * _thump(since, 170, 62, 0.13) + 0.2 * thud)


@functools.cache
def chime(rate: int) -> Float[np.ndarray, "samples"]:
  """The partials of a struck bar of metal, and its octave; high partials decay first."""
  since = _time(2.5, rate)
  partials = ((1, 1, 0.45), (2, 0.5, 0.35), (2.756, 0.5, 0.22), (5.404, 0.3, 0.1))
  tone = sum(
    loud * np.sin(2 * np.pi * 988 * ratio * since) * np.exp(-since / decay) for ratio, loud, decay in partials
  )
  return 0.2 * _attack(since, 0.002) * tone


@functools.cache
def pluck(pitch: float, rate: int) -> Float[np.ndarray, "samples"]:
  """A plucked string: harmonics that decay the faster the higher they are."""
  since = _time(1.6, rate)
  harmonics = range(1, max(2, min(9, int(0.45 * rate / pitch))))
  tone = sum(
    np.sin(2 * np.pi * pitch * k * since) * np.exp(-since * (2.5 + 2 * k)) / k**1.4 for k in harmonics
  )
  return 0.3 * _attack(since, 0.003) * tone


def _attack(since: Float[np.ndarray, "samples"], seconds: float) -> Float[np.ndarray, "samples"]:
  """A linear rise from 0 to 1, so that no instrument begins with a crack."""
  return np.minimum(since / seconds, 1)


def sine(pitch: float) -> Sustained:
  """A sine of `pitch` Hz."""
  return lambda loudness, rate: 0.4 * loudness * np.sin(2 * np.pi * pitch * (np.arange(loudness.size) / rate))


def motor(loudness: Float[np.ndarray, "samples"], rate: int) -> Float[np.ndarray, "samples"]:
  """A low hum: the harmonics of a saw, the high ones damped, with a slight vibrato."""
  now = np.arange(loudness.size) / rate
  cycles = 85 * now + 0.16 * np.sin(2 * np.pi * 5 * now)
  saw = sum(np.sin(2 * np.pi * k * cycles) / k / (1 + (k / 8) ** 2) for k in range(1, 17))
  return 0.2 * loudness * saw


def whoosh(loudness: Float[np.ndarray, "samples"], rate: int) -> Float[np.ndarray, "samples"]:
  """Noise that is brighter when it is louder."""
  low, high = (np.resize(_hiss(rate, *band, 2.0), loudness.size) for band in ((250, 900), (900, 3500)))
  return 0.09 * loudness * low + 0.11 * loudness**2 * high


STRUCK = {"step": step, "landing": landing, "chime": chime}
SUSTAINED: dict[str, Sustained] = {"motor": motor, "whoosh": whoosh}
