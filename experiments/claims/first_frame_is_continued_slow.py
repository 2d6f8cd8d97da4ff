"""A clip continues the first frame that it is given; the first frame of another clip leads elsewhere.

A small model of clips of four frames is trained with the first frame given in half of them. Held-out clips
are continued from their own first frames and from those of other clips, with the same captions and noise.
Value: the mean squared distance of the following frames to the real ones, with the own first frames divided
by with the others. Bar: .3. A rigid shift of the given frame, without any model, meets this bar too
(`shifted`): see `first_frame_beats_a_shift_slow`.
"""


def measure(seed: int) -> dict:
  import numpy as np

  from experiments.claims._first_frame import CLIPS, STEPS, best_shift, continued, distance

  clips = continued(seed)
  real = clips["real"]
  own, other = distance(clips["own"], real), distance(clips["other"], real)
  shifted = best_shift(real[:, 0], real), best_shift(np.roll(real[:, 0], 1, 0), real)
  return {
    "value": own / other,
    "bar": 0.3,
    "holds": own <= 0.3 * other,
    "own": own,
    "other": other,
    "shifted": distance(shifted[0], real) / distance(shifted[1], real),
    "clips": CLIPS,
    "steps": STEPS,
  }
