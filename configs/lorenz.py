"""Another kind of data: trajectories of a chaotic differential equation.

python -m experiments.train --config=configs/lorenz.py --workdir=runs/lorenz
python -m experiments.evaluate --workdir=runs/lorenz --suite=dynamics

Hardware: 2 CPU cores, shared with much other work. Time: not measured; at best 5 steps per second.
Result after the first 1,500 of the 3,000 steps (in brackets: real clips): one-step defect .026 (1e-7;
shuffled frames 3.7), Wasserstein distance of the marginals .0059 (.0019), captions .93 (1.00), Lyapunov
exponent .82 ± .04 (.81 ± .04) per time unit. It has not been run to the end.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
  config = base.get_config("lorenz", times="logit_normal", optimizer="muon")
  config.senses = ("state",)
  config.source.update(frames=64, patch=4)
  # Times near the noise decide the course of the curve, times near the data its smoothness: favour neither.
  config.times.update(mean=0.0, std=1.5)
  config.model.update(width=128, text_width=32, condition_width=96, depth=4, heads=4, text_length=40)
  config.training.update(steps=3000, log_every=50, keep=2)
  # No guidance: it would change the dynamics.
  config.sampling.update(steps=50, guidance=1.0, shift=2.0, batch=64)
  return config
