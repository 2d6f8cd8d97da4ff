"""A small model that continues given first frames, and the held-out clips that test it."""

import functools

STEPS, CLIPS = 2000, 256


@functools.cache
def continued(seed: int) -> dict:
  """Held-out clips and their continuations by the model, sight [clips, frames, height, width, 3].

  Returns:
    real: the clips. own: continuations of their own first frames. other: continuations of the first frames of
    the next clips, with the same captions and noise.
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
  """Mean squared distance between the frames after the first."""
  import numpy as np

  return float(np.mean(np.square(clips[:, 1:] - real[:, 1:])))


def best_shift(first, real):
  """Clips [n, frames, height, width, 3]: `first` [n, height, width, 3] at its best constant velocity."""
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
  """`picture` moved by so many pixels, dark where the shift uncovers something."""
  import cv2
  import numpy as np

  height, width = picture.shape[:2]
  matrix = np.array([[1, 0, across], [0, 1, down]], np.float32)
  return cv2.warpAffine(picture, matrix, (width, height), borderValue=(-1, -1, -1))
