r"""The second of three stages on your own videos: everything that curation kept, moving.

python -m experiments.train --workdir=runs/video --config=configs/recipe_video.py \
  --config.source.path=data/clips/1.0.0

It goes on from runs/images (configs/recipe_images.py).
"""

from ml_collections import ConfigDict

from configs import recipe_images


def get_config() -> ConfigDict:
  config = recipe_images.get_config()
  config.seed = 1  # Other windows than before.
  config.source.frames = 8
  config.training.batch = 16
  config.training.init_from = "runs/images"
  return config
