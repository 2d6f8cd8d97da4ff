"""The model of stale_1b, causal: latent video of any length at 480p, in chunks of three latent frames.

python -m experiments.benchmark --suite=rollout --config=configs/stale_1b_causal.py

Hardware, time, result: none, it has not been run. It is for planning and benchmarks.
"""

from ml_collections import ConfigDict

from configs import stale_1b


def get_config(resolution: str = "480p") -> ConfigDict:
  config = stale_1b.get_config(resolution)
  config.model.causal = True
  config.times.independent = True
  # A window of 21 latent frames: the chunk and the 18 before it. A latent frame is four frames of video.
  config.rollout.update(how="causal", chunk=3, sinks=0)
  config.sampling.update(solver="consistency", steps=4, guidance=1.0)
  return config
