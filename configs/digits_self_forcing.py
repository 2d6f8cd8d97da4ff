"""A four-step student of configs/digits_causal.py, which takes twenty steps, trained on its own rollouts.

python -m experiments.train --config=configs/digits_self_forcing.py --workdir=runs/digits_self_forcing

One-step student: --config.sampling.steps=1. Self-Forcing++: --config.self_forcing.frames=40. The teacher is
in the package (configs/digits_causal.py). Hardware: one CPU core. Time: two and a half minutes in all.
Result, three seeds: digit .95 to .99, Fréchet distance 28 to 34 (the teacher's .98 and 29.8); see
docs/students.md.
"""

from ml_collections import ConfigDict

from configs import digits_causal


def get_config() -> ConfigDict:
  config = digits_causal.get_config()
  config.training.init_from = "causal"
  config.training.steps = 180
  config.training.batch = 16
  config.training.log_every = 15
  config.training.checkpoint_every = 60
  config.optimizer = {"name": "adamw", "schedule": "constant", "learning_rate": 3e-4, "warmup": 10, "b1": 0.0}
  config.ema.decay = 0.98
  # Teacher and critic judge the student's clips at all times alike: at high noise only the layout is visible,
  # and strokes could grow thick unnoticed.
  config.times = {"name": "uniform", "independent": True}
  # The sampler of the student, in training as in generation.
  config.sampling = {"solver": "consistency", "steps": 4, "guidance": 1.0, "shift": 6.0, "batch": 64}
  config.self_forcing = {"every": 3, "guidance": 1.5, "interval": (0.5, 0.95)}
  return config
