"""The shipped model's data with eight blocks run round 1 to 4 times; merging is one more word.

  python -m experiments.train --config=configs/digits_cycle.py --workdir=runs/digits_cycle
  python -m experiments.generate --workdir=runs/digits_cycle --turns=4 --prompt=... --out=movies

Hardware: 2 CPU cores. Time and result: it has not been run.
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
  config = digits.get_config()
  config.model.depth = 8
  config.model.turns = 4
  config.model.merge = False
  return config
