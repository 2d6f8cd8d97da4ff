"""The smallest digits in which it shows what a mechanism does: for comparing, not for looking.

python -m experiments.train --config=configs/digits_micro.py --workdir=runs/digits_micro

Hardware: 2 CPU cores, shared with much other work. Time: not measured; 4 steps a second were seen.
Result: not measured yet: the one trial ended at step 750, with a training loss of .15. The reader on
real test clips of this size: digit .98, colour, direction and speed 1.00, touch .98.
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
  config = digits.get_config()
  config.senses = ("sight", "touch")
  # All four frames in one token: the two halves of a clip cannot disagree.
  config.source = {"name": "digits", "canvas": 12, "frames": 4, "patch": 4}
  config.model.width = 96
  config.model.side_width = 16
  config.model.text_width = 64
  config.model.condition_width = 64
  config.model.depth = 4
  config.objective.weights = {"touch": 0.2}
  config.training.steps = 4000
  config.training.log_every = 50
  config.training.keep = 1
  config.sampling.batch = 64
  return config
