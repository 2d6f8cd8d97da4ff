"""Digits in the latent space of an autoencoder, on a canvas of twice the size: 32x32 pixels, 9 frames.

python -m experiments.train --config=configs/latent_digits.py --workdir=runs/latent_digits
python -m experiments.evaluate --workdir=runs/latent_digits --suite=captions --clips=240

The autoencoder is the one in the package (configs/autoencoder_digits.py); it encodes a clip as 5 frames of
8x8 latents. The model has sight alone; to add senses, list them in config.senses. Hardware: one CPU core,
shared with other work. Time: 25 minutes, 3 steps per second. Result: digit .14, colour and direction 1.00,
speed .98, Fréchet distance 320, between real clips 27 (240 clips).
"""

from ml_collections import ConfigDict

from configs import autoencoder_digits, digits


def get_config() -> ConfigDict:
  config = digits.get_config()
  config.senses = ("sight",)
  config.source = {
    "name": "latents",
    "source": autoencoder_digits.get_config().source.to_dict(),
    "autoencoder": "autoencoder",
    "cache": "runs/latents",
    "size": 8192,
    # A token covers 16x16 pixels of two frames, in 64 numbers. With patch 2 there are four times as many
    # tokens.
    "patch": 4,
  }
  config.times.independent = False
  config.model.causal = False
  config.model.width = 96
  config.model.depth = 4
  config.objective.weights = {}
  config.training.batch = 32
  config.training.steps = 4000
  return config
