"""Another field: trajectories of a chaotic differential equation, through the same core.

python -m experiments.train --config=configs/lorenz.py --workdir=runs/lorenz
python -m experiments.evaluate --workdir=runs/lorenz --suite=dynamics

Hardware: 2 CPU cores, shared with much other work. Time: not measured; 5 steps a second at the best.
Result after the first 1,500 of the 3,000 steps (and of real clips): one-step defect .026 (1e-7; of
shuffled frames 3.7), Wasserstein distance of the marginals .0059 (.0019), captions .93 (1.00),
Lyapunov exponent .82 ± .04 (.81 ± .04) a time unit. It has not been run to the end.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
  config = base.get_config("lorenz", times="logit_normal", optimizer="muon")
  config.senses = ("state",)
  config.source.update(frames=64, patch=4)
  # A smooth curve is decided early, and its smoothness late: look everywhere.
  config.times.update(mean=0.0, std=1.5)
  config.model.update(width=128, text_width=32, condition_width=96, depth=4, heads=4, text_length=40)
  config.training.update(steps=3000, log_every=50, keep=2)
  # Guidance would sharpen the law itself.
  config.sampling.update(steps=50, guidance=1.0, shift=2.0, batch=64)
  return config
