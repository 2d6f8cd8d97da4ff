"""The smallest model of digits that shows the effect of a mechanism: for comparisons, not for good movies.

python -m experiments.train --config=configs/digits_micro.py --workdir=runs/digits_micro

Hardware: one CPU core. Time: 8 steps per second.
Result after 1,500 steps (experiments.ablate --table=cringe, its first row, mean ± standard error of three
seeds): digit .57 ± .02, colour and direction 1.00, speed .90 ± .01, touch .82 ± .01, Fréchet distance
107 ± 6. The full 4,000 steps have not been run.
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
  config = digits.get_config()
  config.senses = ("sight", "touch")
  # All four frames in one token, so that the two halves of a clip cannot disagree.
  config.source.update(canvas=12, frames=4, patch=4)
  config.times.independent = False
  config.model.causal = False
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
  config.sampling.interval = (0.0, 1.0)  # Guidance at all times, as in the recorded tables.
  return config
