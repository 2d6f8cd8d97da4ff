"""The shipped model with two forms of attention a block, along time and over space, and a plot gate.

  python -m experiments.train --config=configs/digits_forms.py --workdir=runs/digits_forms
  python -m experiments.generate --workdir=runs/digits_forms --forms=hard --prompt=... --out=movies

A token covers two frames, so that there are four times to look along.

Hardware: 2 CPU cores. Time and result: it has not been run.
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
  config = digits.get_config()
  config.source.patch = 2
  config.model.forms = "dense"
  return config
