"""Given its first frame, a clip goes on from that frame: another clip's first frame leads elsewhere.

A small model of four frames, half of its training clips with a given first frame. Held-out clips are
continued from their own first frames and from those of other clips, with the same captions and noise.
Value is the ratio of the mean squared distances of the following frames to the real ones; bar .3.
"""

STEPS, CLIPS = 2000, 256


def measure(seed: int) -> dict:
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

  def distance(first) -> float:
    made = model.sample(prompts, seeds, first={"sight": first}, guidance=1.0)["sight"]
    return float(np.mean(np.square(made[:, 1:] - real[:, 1:])))

  own, other = distance(real[:, :1]), distance(np.roll(real[:, :1], 1, 0))
  return {
    "value": own / other,
    "bar": 0.3,
    "holds": own <= 0.3 * other,
    "own": own,
    "other": other,
    "clips": CLIPS,
    "steps": STEPS,
  }
