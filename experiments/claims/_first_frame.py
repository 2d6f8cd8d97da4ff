"""A small model that continues first frames, and held-out clips to test it on."""

import functools

STEPS, CLIPS = 2000, 256


@functools.cache
def continued(seed: int) -> dict:
  """Held-out clips, and clips that the model makes from their first frames.

  Returns:
    Name -> sight, [clips, frames, height, width, 3]. real: the held-out clips; own: continuations of their
    first frames; other: continuations, with the same captions and noise, of the first frames of other clips.
  """
  import dataclasses

  import numpy as np

  from experiments.claims._small import digits
  from stale_jax.testing.models import trained

  config = digits(seed, canvas=12, frames=4, patch=1)
  config["first"] = {"share": 0.5}
  model = trained(config, STEPS, batch=64)
  source = dataclasses.replace(model.system.data.source, split="test")
  examples = [source[seed + i] for i in range(CLIPS)]
  real = np.stack([example["clip"]["sight"] for example in examples])
  prompts, seeds = [example["caption"] for example in examples], list(range(CLIPS))

  def made(first):
    return np.asarray(model.sample(prompts, seeds, first={"sight": first}, guidance=1.0)["sight"])

  return {"real": real, "own": made(real[:, :1]), "other": made(np.roll(real[:, :1], 1, 0))}


def distance(clips, real) -> float:
  """Mean squared distance between the frames of two sets of clips, without the first frames."""
  import numpy as np

  return float(np.mean(np.square(clips[:, 1:] - real[:, 1:])))


def best_shift(first, real):
  """Moves each first frame at the constant velocity that brings it closest to its real clip.

  Args:
    first: the first frames, [n, height, width, 3].
    real: the real clips, [n, frames, height, width, 3].

  Returns:
    Clips in the shape of `real`.
  """
  import itertools

  import numpy as np

  velocities = np.arange(-12, 13) / 4  # Pixels per frame.
  best, least = np.empty_like(real), np.full(len(real), np.inf)
  for across, down in itertools.product(velocities, repeat=2):
    for i, (picture, clip) in enumerate(zip(first, real, strict=True)):
      moved = np.stack([_shifted(picture, k * across, k * down) for k in range(len(clip))])
      error = np.square(moved - clip)[1:].sum()
      if error < least[i]:
        best[i], least[i] = moved, error
  return best


def _shifted(picture, across: float, down: float):
  """`picture` shifted to the right and down by so many pixels; values that the shift uncovers are -1."""
  import cv2
  import numpy as np

  height, width = picture.shape[:2]
  matrix = np.array([[1, 0, across], [0, 1, down]], np.float32)
  return cv2.warpAffine(picture, matrix, (width, height), borderValue=(-1, -1, -1))
