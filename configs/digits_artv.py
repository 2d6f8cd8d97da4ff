"""Digits on static backgrounds, generated one frame at a time from the first frame and the two before.

python -m experiments.train --config=configs/digits_artv.py --workdir=runs/digits_artv

Hardware: one CPU core. Time: 8 minutes, 11 steps per second.
Result: docs/results.md: claims artv_e2_slow, artv_e3_slow, artv_e3_untouched_slow; tables on masks.
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
  config.rollout = {"noise": 0.2}  # References always have noise in training, so they need some here.
  config.training.steps = 5000
  config.training.batch = 32
  # No guidance: the previous frames determine the content of a frame.
  config.sampling.guidance = 1.0
  config.sampling.steps = 10
  return config
