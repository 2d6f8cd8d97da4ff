"""A few more training steps of the packaged model of cartoons, for `make movie`.

python -m experiments.train --config=configs/movie.py --workdir=runs/movie

Hardware: 2 CPU cores without AVX-512, on which `make movie` takes four minutes after the installation, if
nothing has been compiled before. Almost half of that time is spent on compiling.
"""

from ml_collections import ConfigDict

from configs import cartoons_small


def get_config() -> ConfigDict:
  config = cartoons_small.get_config()
  config.training.update(init_from="cartoons", steps=10, log_every=1, checkpoint_every=10)
  # New clips, and a learning rate that is small enough to keep the quality.
  config.seed = 1
  config.optimizer = {"name": "adamw", "learning_rate": 1e-4, "warmup": 5}
  # Few steps are taken, so that fast compilation matters more. In batches of four, the suite of 16 clips and
  # the three movies share their programs.
  config.model.scan = True
  config.sampling.batch = 4
  return config
