"""Digits one frame at a time, after the first frame and the two before, before backgrounds that stand still.

python -m experiments.train --config=configs/digits_artv.py --workdir=runs/digits_artv

Hardware: one CPU core. Time: 11 steps a second, 8 minutes. Result (the claims artv_e2_slow and artv_e3_slow,
two seeds): the mask says .76 of what moves and .06 of what stands still; after 200 frames .88 of the motion
is left, and the squared error of the background that the digit never touches is .0004 and .0005, where its
own variance is .029. Without the mask (--config.artv.mask=False) .82 and .75 of the motion, and .0029 and
.0023.
"""

from ml_collections import ConfigDict

from configs import digits_micro


def get_config() -> ConfigDict:
  config = digits_micro.get_config()
  config.senses = ("sight",)
  config.source.update(frames=8, patch=1, background=0.3)
  config.model.width = 64
  config.model.text_width = 32
  config.objective.weights = {}
  config.artv = {"noise": 0.5, "drop": 0.1, "mask": True, "copy": 0.01}
  config.rollout = {"noise": 0.2}  # Training never showed it references without noise.
  config.training.steps = 5000
  config.training.batch = 32
  # What a frame shows is known from those before it.
  config.sampling.guidance = 1.0
  config.sampling.steps = 10
  return config
