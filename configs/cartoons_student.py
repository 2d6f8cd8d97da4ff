"""A four-step student of configs/cartoons.py, which takes twenty steps, trained on its own rollouts.

python -m experiments.train --config=configs/cartoons_student.py --workdir=runs/cartoons_student

The teacher is read from runs/cartoons. Hardware: as for the teacher. Time and result: not measured.
"""

from ml_collections import ConfigDict

from configs import cartoons


def get_config() -> ConfigDict:
  config = cartoons.get_config()
  config.training.update(init_from="runs/cartoons", steps=600, batch=32, log_every=15, checkpoint_every=200)
  config.optimizer = {"name": "adamw", "schedule": "constant", "learning_rate": 1e-4, "warmup": 20, "b1": 0.0}
  config.ema.decay = 0.98
  # Teacher and critic judge the student's clips at all times alike (see configs/digits_self_forcing.py).
  config.times = {"name": "uniform", "independent": True}
  # The sampler of the student, in training as in generation.
  config.sampling = {"solver": "consistency", "steps": 4, "guidance": 1.0, "shift": 6.0, "batch": 32}
  # It learns to continue from its own rollouts.
  config.first.share = 0.0
  config.self_forcing = {"every": 3, "guidance": 3.0, "interval": (0.5, 0.98)}
  return config
