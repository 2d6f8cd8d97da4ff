"""Digits frame by frame: a causal model whose frames are at times of their own, for movies of any length.

python -m experiments.train --config=configs/digits_causal.py --workdir=runs/digits_causal

Hardware: one CPU core.
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
  return config
