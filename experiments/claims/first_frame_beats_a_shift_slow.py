"""A clip continued from its first frame is closer to the truth than any rigid shift of that frame.

The model and clips of `first_frame_is_continued_slow`. The control shifts the given frame with one constant
velocity per clip, the best in hindsight: out of all multiples of a quarter of a pixel per frame up to three
pixels, dark (-1) where the shift uncovers something. Value: the mean squared distance of the following frames
to the real ones, the model's over the control's; bar .5, which the control misses (its value is 1).
"""


def measure(seed: int) -> dict:
  from experiments.claims._first_frame import CLIPS, STEPS, continued, distance

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


def best_shift(first, real):
  """Clips [n, frames, height, width, 3]: `first` [n, height, width, 3] at its best constant velocity."""
  import itertools

  import cv2
  import numpy as np

  velocities = np.arange(-12, 13) / 4
  best, least = np.empty_like(real), np.full(len(real), np.inf)
  for across, down in itertools.product(velocities, repeat=2):
    for i, (picture, clip) in enumerate(zip(first, real, strict=True)):
      moved = np.stack([_shift(cv2, picture, k * across, k * down) for k in range(len(clip))])
      error = np.square(moved - clip)[1:].sum()
      if error < least[i]:
        best[i], least[i] = moved, error
  return best


def _shift(cv2, picture, across: float, down: float):
  import numpy as np

  height, width = picture.shape[:2]
  matrix = np.array([[1, 0, across], [0, 1, down]], np.float32)
  return cv2.warpAffine(picture, matrix, (width, height), borderValue=(-1, -1, -1))
