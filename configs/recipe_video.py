r"""The second of three stages on your own videos: all curated clips, as videos.

python -m experiments.train --workdir=runs/video --config=configs/recipe_video.py \
  --config.source.path=data/clips/1.0.0

Training starts from runs/images (configs/recipe_images.py).
Hardware: 2 CPU cores at this size. Time: not measured. Result: not stated, since it depends on the videos.
"""

from ml_collections import ConfigDict

from configs import recipe_images


def get_config() -> ConfigDict:
  config = recipe_images.get_config()
  config.seed = 1  # Other windows than in the first stage.
  config.source.frames = 8
  config.training.batch = 16
  config.training.init_from = "runs/images"
  return config
