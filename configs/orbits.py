"""Orbits around small scenes of boxes and balls, from their first frame: novel views.

python -m experiments.train --config=configs/orbits.py --workdir=runs/orbits

Hardware: one CPU core. The claim novel_views_slow trains a narrower model for fewer steps; this config has
not been run to its end.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
  config = base.get_config("orbits", times="logit_normal", optimizer="muon")
  config.senses = ("sight",)
  config.source.update(canvas=16, frames=8)
  config.times.update(mean=-1.5, std=1.5)
  config.model.update(width=128, text_width=64, condition_width=128, depth=4, heads=4, text_length=48)
  config.first.share = 0.9
  config.training.steps = 5000
  config.sampling.guidance_ramp = (1.0, 2.5)
  return config
