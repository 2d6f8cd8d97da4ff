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
