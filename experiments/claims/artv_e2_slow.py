"""The mask copies what stands still and leaves what moves to the network, without being told what moves.

A small model of digits on static backgrounds is trained (configs/digits_artv.py). Value: the mean of its mask
over values of held-out frames that differ from the previous frame by more than .1, divided by its mean over
values that do not differ at all. Both means are averaged over five times of the new frame, and the references
are noised as in generation (`rollout.noise`). Bar: 2. The ratios at other noise of the references are
reported too.
"""

CLIPS, TIMES = 256, (0.1, 0.3, 0.5, 0.7, 0.9)


def measure(seed: int) -> dict:
  from experiments.claims._artv import trained

  return judge(trained(seed), seed)


def judge(model, seed: int) -> dict:
  import numpy as np

  from experiments.claims._artv import GIVEN, MOVING, masks, real_clips

  real, captions = real_clips(model, CLIPS, GIVEN + 1, seed)
  change = np.abs(real[:, GIVEN] - real[:, GIVEN - 1])
  moving, static = change > MOVING, change == 0

  def means(noise: float):
    share = masks(model, real, captions, TIMES, noise, seed)
    return [(float(x[moving].mean()), float(x[static].mean())) for x in share]

  said, usual = {}, model.system.diffusion.rollout.noise
  for noise in (usual, 0.02, model.system.diffusion.artv.noise):
    said[noise] = means(noise)
    for t, (made, kept) in zip(TIMES, said[noise], strict=True):
      print(f"noise of references {noise:.2f}, t {t:.1f}: mask {made:.3f} if moving, {kept:.3f} if static")
  made, kept = np.mean(said[usual], 0)
  return {
    "value": float(made / kept),
    "bar": 2.0,
    "holds": bool(made >= 2 * kept),
    "moving": float(made),
    "static": float(kept),
    "ratio_at_noise": {k: float(np.divide(*np.mean(rows, 0))) for k, rows in said.items()},
    "clips": CLIPS,
  }
