r"""Real videos in the latent space of an autoencoder (configs/autoencoder_videos.py), with sound.

python -m experiments.train --config=configs/latent_videos.py --workdir=runs/latent_videos \
  --config.source.source.path=DIR

DIR is a folder of videos; with configs/latent_videos.py:shards it is a set of curated clips,
OUTPUT/clips/1.0.0. Hardware: 2 CPU cores at this size. Time: not measured. Result: not stated, since it
depends on the videos.
"""

from ml_collections import ConfigDict

from configs import autoencoder_videos, folder


def get_config(source: str = "folder") -> ConfigDict:
  config = folder.get_config()
  config.source = {
    "name": "latents",
    "source": {**autoencoder_videos.get_config(source).source.to_dict(), "hearing": True},
    "autoencoder": "runs/autoencoder_videos",
    "cache": "runs/latents",
    # Number of windows of the videos to encode, once each.
    "size": 4096,
    "patch": 4,
  }
  return config
