"""A model that has seen noisy references loses less when those it is given are bad.

Two small models (configs/digits_artv.py), with and without noise on references in training, equal steps and
seed, make the fourth frame of held-out clips after the first three, and after the same with Gaussian noise of
standard deviation .1 on them. Value is the loss of PSNR of the one relative to the other's; bar .5. Both
have bad references brought to the time .1, and both also not; what loses less counts.
"""

CLIPS, BAD, AGAIN = 256, 0.1, 0.1


def measure(seed: int) -> dict:
  from experiments.claims._artv import trained

  return judge(trained(seed), trained(seed, noise=0.0), seed)


def judge(augmented, plain, seed: int) -> dict:
  import numpy as np

  from experiments.claims._artv import GIVEN, follow, psnr, real_clips

  real, captions = real_clips(augmented, CLIPS, GIVEN + 1, seed)
  noise = np.random.default_rng(seed).normal(0, BAD, real.shape)
  bad = np.clip(real + noise, -1, 1).astype(np.float32)

  def quality(model) -> tuple[float, dict[str, float]]:
    def of(given, again: float) -> float:
      return psnr(follow(model, given, captions, 1, noise=again), real[:, GIVEN:])

    return of(real, 0.0), {f"{again:g}": of(bad, again) for again in (0.0, AGAIN)}

  said = {name: quality(model) for name, model in (("augmented", augmented), ("plain", plain))}
  for name, (good, worse) in said.items():
    print(f"{name}: {good:.2f} dB; after bad references {worse}")
  loss = {name: good - max(worse.values()) for name, (good, worse) in said.items()}
  return {
    "value": loss["augmented"] / loss["plain"],
    "bar": 0.5,
    "holds": loss["augmented"] <= 0.5 * loss["plain"],
    "loss": loss,
    "psnr": {name: good for name, (good, _) in said.items()},
    "psnr_after_bad": {name: worse for name, (_, worse) in said.items()},
    "clips": CLIPS,
  }
