"""Real sound as a sense: how loud each band of pitches is in each frame.

Twelve bands, half an octave wide, are named by the pitch in their middle as the digits' are, so that
`media.sound` can play them. A channel is the square root of the amplitude in its band, about as
loudness grows: -1 is silence, 1 a sine as loud as can be. What is below 93 Hz and above 5,920 Hz, and
everything finer than a frame, is not heard.
"""

import numpy as np
from jaxtyping import Float

PITCHES = tuple(110 * 2 ** (n / 2) for n in range(12))  # Hz
CHANNELS = tuple(f"{pitch:.0f} Hz" for pitch in PITCHES)
RATE = 16_000  # Samples a second that are needed.
# Where one band ends and the next begins.
_EDGES = PITCHES[0] * 2 ** (np.arange(len(PITCHES) + 1) / 2 - 0.25)


def hear(wave: Float[np.ndarray, "samples"], frames: int) -> Float[np.ndarray, "frames 12"]:
  """The sense of a sound at RATE, cut into `frames` of equal length, in [-1, 1].

  Each is seen through a Hann window of its length, 64 ms at least, around its middle.
  """
  middles = (np.arange(frames) + 0.5) * len(wave) / frames
  length = max(round(len(wave) / frames), round(0.064 * RATE))
  wave = np.pad(wave, length)
  window = np.hanning(length)
  pieces = np.stack([wave[(begin := round(m + length / 2)) : begin + length] for m in middles])
  power = np.abs(np.fft.rfft(pieces * window)) ** 2
  frequencies = np.fft.rfftfreq(length, 1 / RATE)
  loud = np.empty((frames, len(PITCHES)), np.float32)
  for band, (low, high) in enumerate(zip(_EDGES[:-1], _EDGES[1:], strict=True)):
    inside = (frequencies >= low) & (frequencies < high)
    # By Parseval's theorem; a sine of amplitude 1 has a mean square of 1/2.
    amplitude = np.sqrt(4 * power[:, inside].sum(1) / (length * (window**2).sum()))
    loud[:, band] = np.sqrt(np.minimum(amplitude, 1))
  return 2 * loud - 1
