r"""The first of three stages on your own videos (Stable Video Diffusion, arXiv 2311.15127): single pictures.

python -m experiments.curate --input=videos --output=data
python -m experiments.train --workdir=runs/images --config=configs/recipe_images.py \
  --config.source.path=data/clips/1.0.0

The next stages are configs/recipe_video.py and configs/recipe_fine.py; each starts from the one before.
Hardware: 2 CPU cores at this size. Time: not measured. Result: not stated, since it depends on the videos.
"""

from ml_collections import ConfigDict

from configs import shards


def get_config() -> ConfigDict:
  config = shards.get_config()
  # A token covers one frame, so that pictures and videos have the same tokens.
  config.source.update(frames=1, patch=(1, 8, 8))
  config.training.batch = 64
  return config
