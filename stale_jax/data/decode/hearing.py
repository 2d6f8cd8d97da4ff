"""Recorded sound as a sense: the loudness of twelve frequency bands in each frame.

The bands are half an octave wide. Each channel is named by the centre frequency of its band, as in
`sources.digits`, so that `media.sound` can play it. The value of a channel is the square root of the
amplitude in its band, which approximates perceived loudness, mapped to [-1, 1]: -1 is silence, 1 a sine of
full amplitude. Frequencies below 93 Hz or above 5,920 Hz, and changes within a frame, are lost.
"""

import numpy as np
from jaxtyping import Float

PITCHES = tuple(110 * 2 ** (n / 2) for n in range(12))  # Hz
CHANNELS = tuple(f"{pitch:.0f} Hz" for pitch in PITCHES)
RATE = 16_000  # Samples per second that `hear` expects.
# Boundaries of the bands, in Hz.
_EDGES = PITCHES[0] * 2 ** (np.arange(len(PITCHES) + 1) / 2 - 0.25)


def hear(wave: Float[np.ndarray, "samples"], frames: int) -> Float[np.ndarray, "frames 12"]:
  """Computes the loudness of each band in each frame, in [-1, 1].

  The spectrum of a frame is computed in a Hann window around the centre of the frame. The window is as long
  as a frame, but at least 64 ms.

  Args:
    wave: mono sound in [-1, 1], RATE samples per second.
    frames: number of equal parts into which the sound is divided.
  """
  centres = (np.arange(frames) + 0.5) * len(wave) / frames
  length = max(round(len(wave) / frames), round(0.064 * RATE))
  wave = np.pad(wave, length)
  window = np.hanning(length)
  pieces = np.stack([wave[(begin := round(c + length / 2)) : begin + length] for c in centres])
  power = np.abs(np.fft.rfft(pieces * window)) ** 2
  frequencies = np.fft.rfftfreq(length, 1 / RATE)
  loud = np.empty((frames, len(PITCHES)), np.float32)
  for band, (low, high) in enumerate(zip(_EDGES[:-1], _EDGES[1:], strict=True)):
    inside = (frequencies >= low) & (frequencies < high)
    # The mean square of the band, by Parseval's theorem. A sine of amplitude 1 has a mean square of 1/2.
    amplitude = np.sqrt(4 * power[:, inside].sum(1) / (length * (window**2).sum()))
    loud[:, band] = np.sqrt(np.minimum(amplitude, 1))
  return 2 * loud - 1
