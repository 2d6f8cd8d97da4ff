r"""A causal video autoencoder of real videos, for configs/latent_videos.py.

python -m experiments.train --config=configs/autoencoder_videos.py --workdir=runs/autoencoder_videos \
  --config.source.path=DIR
python -m experiments.evaluate --workdir=runs/autoencoder_videos --suite=reconstruction --sheet=coded.png

DIR is a folder of videos; with configs/autoencoder_videos.py:shards it is a set of curated clips,
OUTPUT/clips/1.0.0.
Hardware: 2 CPU cores at this size. Time: not measured. Result: not stated, since it depends on the videos.
"""

from ml_collections import ConfigDict

from configs import autoencoder_digits, base, folder, shards


def get_config(source: str = "folder") -> ConfigDict:
  config = autoencoder_digits.get_config()
  config.source = base.variant(source, {"folder": folder, "shards": shards}).get_config().source
  # The first frame is encoded alone, then groups of two frames.
  config.source.frames = 9
  config.source.patch = (1, 8, 8)
  config.source.hearing = False
  return config
