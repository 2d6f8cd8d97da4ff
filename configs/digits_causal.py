"""Digits frame by frame: a causal model with an independent time per frame, for movies of any length.

python -m experiments.train --config=configs/digits_causal.py --workdir=runs/digits_causal

Hardware: one CPU core, otherwise idle. Time: 35 minutes, 2 steps per second.
Result (experiments.evaluate --suite=captions, 240 clips): digit .988, colour, direction and speed 1.00, touch
.992, Fréchet distance 22.8 (between real clips 26.2). The weights are in the package, as "causal".
"""

from ml_collections import ConfigDict

from configs import digits_micro


def get_config() -> ConfigDict:
  config = digits_micro.get_config()
  config.source.frames = 8
  config.source.patch = 1  # One token per frame and patch; it attends to the frames before it.
  config.model.causal = True
  config.times.independent = True
  config.sampling.interval = (0.5, 0.95)
  config.rollout.chunk = 4
  return config
