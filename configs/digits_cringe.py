"""The digits model's setup with cr-hinge: a hinge loss that predicts a clip's labels from a fixed token.

python -m experiments.train --config=configs/digits_cringe.py --workdir=runs/digits_cringe
python -m experiments.evaluate --workdir=runs/digits_cringe --suite=labels

Hardware: 2 CPU cores. Time: as configs/digits.py. Result: none, it has not been run to the end.
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
  config = digits.get_config()
  config.cringe = {"weight": 0.1, "emoji": "😂"}
  return config
