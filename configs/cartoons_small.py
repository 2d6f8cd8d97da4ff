"""Five-sense cartoons of 32x32 pixels in latents, for two CPU cores.

python -m experiments.train --config=configs/autoencoder_cartoons.py --workdir=runs/autoencoder_cartoons
python -m experiments.train --config=configs/cartoons_small.py --workdir=runs/cartoons_small

A clip of 17 frames is 9 latent frames of 8x8 latents. Hardware: 2 CPU cores. Time and result: not measured;
it is meant to train in a night.
"""

from ml_collections import ConfigDict

from configs import autoencoder_cartoons, cartoons


def get_config() -> ConfigDict:
  config = cartoons.get_config()
  clips = autoencoder_cartoons.get_config().source
  clips.update(frames=17, combinations="seen")
  config.source = {
    "name": "latents",
    "source": clips.to_dict(),
    "autoencoder": "runs/autoencoder_cartoons",
    "cache": "runs/cartoon_latents",
    # Number of clips to draw and encode, once each.
    "size": 49_152,
    # 4x4 tokens a latent frame, of 2x2 latents each.
    "patch": 2,
  }
  config.model.update(
    width=192,
    side_width=32,
    text_width=128,
    condition_width=128,
    depth=6,
    heads=6,
    dtype="float32",
  )
  config.training.update(steps=30_000, batch=32, checkpoint_every=500, workers=0)
  return config
