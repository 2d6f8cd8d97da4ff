"""Digits frame by frame: a causal model whose frames are at times of their own, for movies of any length.

python -m experiments.train --config=configs/digits_causal.py --workdir=runs/digits_causal

Hardware: one CPU core. Time: 2 steps a second when it has nothing else to do, 35 minutes.
Result (experiments.evaluate --suite=captions, 240 clips): digit .988, colour, direction and speed 1.00, touch
.992, Fréchet distance 22.8 (real to real 26.2). Its weights come with the package, as "causal".
"""

from ml_collections import ConfigDict

from configs import digits_micro


def get_config() -> ConfigDict:
  config = digits_micro.get_config()
  config.source.frames = 8
  config.source.patch = 1  # A token a frame: it sees those before it, as they were made.
  config.model.causal = True
  config.times.independent = True
  config.sampling.interval = (0.5, 0.95)
  config.rollout.chunk = 4
  return config
