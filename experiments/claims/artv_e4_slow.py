"""A model trained with noisy references loses less quality when its references are bad.

Two small models (configs/digits_artv.py, without the mask, which would copy bad references) are trained with
and without noise on the references, for as many steps and from the same seed. They generate the fourth frame
of held-out clips from the anchor and two references. Bad references are made by adding Gaussian noise of
standard deviation .1. In generation, the references are noised to one of five times: for each model, and for
good and bad references separately, the time with the highest PSNR is taken. Value: the decrease of the PSNR
from good to bad references of the model trained with noise, divided by that of the model trained without it.
Bar: .5.
"""

CLIPS, BAD, NOISES = 256, 0.1, (0.0, 0.05, 0.1, 0.2, 0.4)


def measure(seed: int) -> dict:
  from experiments.claims._artv import trained

  return judge(trained(seed, mask=False), trained(seed, mask=False, noise=0.0), seed)


def judge(augmented, plain, seed: int) -> dict:
  import numpy as np

  from experiments.claims._artv import GIVEN, follow, psnr, real_clips
  from stale_jax.objectives.artv import IS_REFERENCE

  real, captions = real_clips(augmented, CLIPS, GIVEN + 1, seed)
  noise = np.random.default_rng(seed).normal(0, BAD, real.shape)
  noise *= np.append(IS_REFERENCE, False)[:, None, None, None]
  bad = np.clip(real + noise, -1, 1).astype(np.float32)

  def quality(model, given) -> dict[float, float]:
    return {k: psnr(follow(model, given, captions, 1, noise=k), real[:, GIVEN:]) for k in NOISES}

  said, loss = {}, {}
  for name, model in (("augmented", augmented), ("plain", plain)):
    said[name] = {"good": quality(model, real), "bad": quality(model, bad)}
    print(name, said[name])
    loss[name] = max(said[name]["good"].values()) - max(said[name]["bad"].values())
  return {
    "value": loss["augmented"] / loss["plain"],
    "bar": 0.5,
    "holds": loss["augmented"] <= 0.5 * loss["plain"],
    "loss": loss,
    "psnr": said,
    "clips": CLIPS,
  }
