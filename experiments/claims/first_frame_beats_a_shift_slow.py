"""A clip continued from its first frame is closer to the truth than any rigid shift of that frame.

Model and clips are those of `first_frame_is_continued_slow`. The control shifts the given frame at one
constant velocity per clip, the one closest to the real clip, out of all multiples of a quarter of a pixel per
frame up to three pixels; values that the shift uncovers are dark (-1). Value: the mean squared distance of
the following frames to the real ones, the model's divided by the control's; bar .5, which the control misses,
since its value is 1.
"""


def measure(seed: int) -> dict:
  from experiments.claims._first_frame import CLIPS, STEPS, best_shift, continued, distance

  clips = continued(seed)
  real = clips["real"]
  own, shifted = distance(clips["own"], real), distance(best_shift(real[:, 0], real), real)
  return {
    "value": own / shifted,
    "bar": 0.5,
    "holds": own <= 0.5 * shifted,
    "own": own,
    "shifted": shifted,
    "clips": CLIPS,
    "steps": STEPS,
  }
