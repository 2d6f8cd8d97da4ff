"""A causal video autoencoder of cartoons of 32x32 pixels, for configs/cartoons_small.py.

python -m experiments.train --config=configs/autoencoder_cartoons.py --workdir=runs/autoencoder_cartoons
python -m experiments.evaluate --workdir=runs/autoencoder_cartoons --suite=reconstruction --sheet=coded.png

One latent of 8 numbers encodes 4x4 pixels of two frames, which are 96 numbers. Hardware: 2 CPU cores,
otherwise idle. Time: an hour, 2.4 steps per second. Result: not measured.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
  config = base.get_autoencoder_config("cartoons")
  config.senses = ("sight",)
  # The first frame is encoded alone, then groups of two. All combinations: the autoencoder sees no captions.
  config.source.update(height=32, width=32, frames=9, combinations="all")
  config.model.update(space=4, time=2, channels=8, width=32, depth=1)
  config.optimizer.update(learning_rate=2e-3, warmup=100)
  config.training.update(
    steps=8000, batch=16, log_every=50, caption_dropout=0.0, checkpoint_every=250, keep=2
  )
  return config
