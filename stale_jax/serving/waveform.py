"""The sound of a stream, chunk by chunk, without cracks between chunks."""

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense
from stale_jax.media.sound import synthesise

RATE = 24_000  # Samples per second.
_BEFORE = 2  # Chunks before a chunk whose sounds may still ring.
_FADE = 0.01  # Seconds in which the sound of one chunk becomes that of the next.


class Waveform:
  """Synthesises consecutive chunks (`media.sound`), each with what rings on of the chunks before it.

  Tones of neighbouring chunks may differ in phase, so the end of a chunk, continued for a moment, fades into
  the next one.

  Args:
    sense: the description of the sound.
  """

  def __init__(self, sense: Sense):
    self._sense = sense
    self._before: list[np.ndarray] = []
    self._continued: np.ndarray | None = None

  def __call__(self, sound: Float[np.ndarray, "frames channels"]) -> Float[np.ndarray, "samples *ears"]:
    """The waveform of the next chunk, in [-1, 1]."""
    frames = np.concatenate([*self._before, sound, np.repeat(sound[-1:], 2, 0)])
    wave = synthesise(frames, self._sense, RATE)
    start = round(sum(map(len, self._before)) * RATE / self._sense.rate)
    stop = start + round(len(sound) * RATE / self._sense.rate)
    piece, fade = wave[start:stop].copy(), min(round(_FADE * RATE), stop - start)
    if self._continued is not None:
      weight = np.linspace(0, 1, fade, dtype=np.float32).reshape(-1, *[1] * (piece.ndim - 1))
      piece[:fade] = weight * piece[:fade] + (1 - weight) * self._continued[:fade]
    self._continued = wave[stop : stop + fade].copy()
    self._before = [*self._before, sound][-_BEFORE:]
    return piece
