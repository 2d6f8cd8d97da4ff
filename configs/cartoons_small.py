"""Five-sense cartoons of 32x32 pixels, frame by frame, for two CPU cores.

python -m experiments.train --config=configs/cartoons_small.py --workdir=runs/cartoons_small

Hardware: 2 CPU cores. Time and result: not measured; it is meant to train in a night. An autoencoder of these
cartoons loses their figures: with eight numbers for 4x4 pixels of two frames, its error was .69 of that of
principal components. So this model is trained on pixels.
"""

from ml_collections import ConfigDict

from configs import cartoons


def get_config() -> ConfigDict:
  config = cartoons.get_config()
  config.source.update(height=32, width=32, spatial_patch=4)
  config.model.update(
    width=192,
    side_width=32,
    text_width=128,
    condition_width=128,
    depth=6,
    heads=6,
    # Which word means what is learned sooner from whole words than from bytes.
    word_buckets=1024,
    dtype="float32",
  )
  config.training.update(steps=30_000, batch=32, checkpoint_every=500, workers=0)
  return config
