r"""The last of three stages on your own videos: the best clips, with smaller learning rates.

python -m experiments.curate --input=videos --output=fine --least_motion=.05 --least_light=.25 --most_text=.03
python -m experiments.train --workdir=runs/fine --config=configs/recipe_fine.py \
  --config.source.path=fine/clips/1.0.0

Training starts from runs/video (configs/recipe_video.py).
Hardware: 2 CPU cores at this size. Time: not measured. Result: not stated, since it depends on the videos.
"""

from ml_collections import ConfigDict

from configs import recipe_video


def get_config() -> ConfigDict:
  config = recipe_video.get_config()
  config.seed = 2
  config.optimizer.learning_rate = 5e-4
  config.optimizer.matrix_learning_rate = 0.005
  config.training.steps = 500
  config.training.init_from = "runs/video"
  return config
