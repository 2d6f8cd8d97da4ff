"""Digits in the space of an autoencoder (configs/autoencoder_digits.py), at twice the shipped model's size.

python -m experiments.train --config=configs/autoencoder_digits.py --workdir=runs/autoencoder
python -m experiments.train --config=configs/latent_digits.py --workdir=runs/latent_digits
python -m experiments.evaluate --workdir=runs/latent_digits --suite=captions

Clips of 9 frames of 32x32 pixels become 5 of 8x8 latents. Hardware: 2 CPU cores.
"""

from ml_collections import ConfigDict

from configs import autoencoder_digits, digits


def get_config() -> ConfigDict:
  config = digits.get_config()
  config.source = {
    "name": "latents",
    "source": autoencoder_digits.get_config().source.to_dict(),
    "autoencoder": "runs/autoencoder",
    "cache": "runs/latents",
    "size": 8192,
    "patch": 2,
  }
  config.training.steps = 3000
  return config
