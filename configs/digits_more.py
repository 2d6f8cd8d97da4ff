"""The second half of the shipped model's training, from where configs/digits.py ends: smaller steps.

python -m experiments.train --config=configs/digits_more.py --workdir=runs/digits_more

Hardware: 2 CPU cores. Time: an hour, as of configs/digits.py, whose run is to lie in runs/digits.
Result (experiments.evaluate --suite=captions, three seeds of the noise): digit .93, colour 1.00, direction
1.00, speed 1.00, senses .97, Fréchet distance 28.
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
  config = digits.get_config()
  config.seed = 3  # Other clips than before.
  config.training.init_from = "runs/digits"
  config.optimizer.learning_rate = 1e-3
  config.optimizer.matrix_learning_rate = 0.01
  config.ema.decay = 0.9995
  return config
