r"""The last of three stages on your own videos: the best of them, in smaller steps.

python -m experiments.curate --input=videos --output=fine --least_motion=.05 --least_light=.25 --most_text=.03
python -m experiments.train --workdir=runs/fine --config=configs/recipe_fine.py \
  --config.source.path=fine/clips/1.0.0

It goes on from runs/video (configs/recipe_video.py).
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
