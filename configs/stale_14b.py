"""Latent video of 81 frames at 480p or 720p, 14 billion parameters: for planning, not yet trained.

python -m experiments.plan --config=configs/stale_14b.py:720p --topology=v5p:4x4x8

Hardware: v5p-256, 128 chips. Time: none measured; 15 s per step at least (roofline). Memory, by the
compiler, at 720p: 22.2 of 93.5 GiB per chip. Result: none, it has not been run.
"""

from ml_collections import ConfigDict

from configs import stale_1b


def get_config(resolution: str = "480p") -> ConfigDict:
  config = stale_1b.get_config(resolution)
  config.model.update({"width": 5120, "text_width": 1024, "condition_width": 256, "depth": 40, "heads": 40})
  config.mesh.update({"context": 8, "ulysses": 8})
  config.training.batch = 32
  return config
