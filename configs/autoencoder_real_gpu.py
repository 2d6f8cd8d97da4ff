r"""A causal video autoencoder of real videos of 256x256 pixels on one GPU, for configs/real_gpu.py.

python -m experiments.train --config=configs/autoencoder_real_gpu.py --workdir=runs/autoencoder_real_gpu \
  --config.source.path=DIR
python -m experiments.evaluate --workdir=runs/autoencoder_real_gpu --suite=reconstruction --sheet=coded.png

DIR is a folder of videos; with configs/autoencoder_real_gpu.py:shards it is a set of curated clips,
OUTPUT/clips/1.0.0. Hardware: one GPU; how much memory a step needs has not been measured.
Time and result: none, it has not been run at this size.
"""

from ml_collections import ConfigDict

from configs import autoencoder_videos


def get_config(source: str = "folder") -> ConfigDict:
  config = autoencoder_videos.get_config(source)
  # A second of 17 frames. The first is encoded alone, then groups of four.
  config.source.update(frames=17, height=256, width=256, rate=16.0, patch=(1, 8, 8))
  # One latent of 16 values encodes 8x8 pixels of 4 frames, which are 768 values.
  config.model.update(space=8, time=4, channels=16, width=256, dtype="bfloat16")
  config.optimizer.update(learning_rate=3e-4, warmup=500)
  config.training.update(steps=50_000, batch=4, checkpoint_every=1000, keep=2)
  return config
