"""Real videos from a folder: a small model of what is seen and heard, captioned by the files beside them.

python -m experiments.train --config=configs/folder.py --config.source.path=DIR --workdir=runs/folder

Hardware: 2 CPU cores. Time: 1.4 steps a second on one core that had much other work.
Result: none stated; it depends on the folder. It shows that a folder trains, and is no model to admire.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
  config = base.get_config("folder", times="logit_normal", optimizer="muon")
  return small(config)


def small(config: ConfigDict) -> ConfigDict:
  """`config`, of a source of videos, as a model that two cores can train."""
  config.senses = ("sight", "sound")
  # One second of each video, anew every time. source.buckets has several sizes instead of one, source.images
  # is the share of batches of single frames, source.rates several frame rates, one drawn for each clip.
  config.source.path = ""
  config.source.update(frames=8, height=32, width=32, rate=8.0, patch=(4, 8, 8))
  # model.micro=("fps", "motion") tells the model the frame rate and how much moves (OpenCV measures it), and
  # it can be asked for them: generate --fps --motion.
  config.model.update(
    width=128, side_width=32, text_width=64, condition_width=96, depth=4, heads=4, text_length=96
  )
  # Half of the clips are to be continued from a picture: generate --first_frame.
  config.first.share = 0.5
  config.objective.weights = {"sound": 0.2}
  config.optimizer.warmup = 100
  config.training.update(steps=2000, batch=16, keep=2)
  config.sampling.update(guidance=2.0, batch=16)
  return config
