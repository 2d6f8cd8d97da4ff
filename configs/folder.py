"""Real videos from a folder: a small model of sight and sound, with captions from files beside the videos.

python -m experiments.train --config=configs/folder.py --config.source.path=DIR --workdir=runs/folder

Hardware: 2 CPU cores. Time: 1.4 steps per second on one core that was shared with much other work.
Result: not stated, since it depends on the videos. The config shows how to train on a folder; it is too small
for good movies.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
  config = base.get_config("folder", times="logit_normal", optimizer="muon")
  return small(config)


def small(config: ConfigDict) -> ConfigDict:
  """Adds a model of sight and sound that two CPU cores can train to `config`, whose source reads videos.

  Returns:
    The same `config`, changed in place.
  """
  config.senses = ("sight", "sound")
  # A clip is a random second of a video. Further keys: source.buckets, several sizes instead of one;
  # source.images, the share of batches of single frames; source.rates, several frame rates, of which each
  # clip draws one.
  config.source.path = ""
  config.source.update(frames=8, height=32, width=32, rate=8.0, patch=(4, 8, 8))
  # model.micro=("fps", "motion") conditions the model on frame rate and optical flow (measured by OpenCV),
  # for generate --fps --motion.
  config.model.update(
    width=128, side_width=32, text_width=64, condition_width=96, depth=4, heads=4, text_length=96
  )
  # Half of the clips are conditioned on their first frame, for generate --first_frame.
  config.first.share = 0.5
  config.objective.weights = {"sound": 0.2}
  config.optimizer.warmup = 100
  config.training.update(steps=2000, batch=16, keep=2)
  config.sampling.update(guidance=2.0, batch=16)
  return config
