"""Five-sense cartoons of 32x32 pixels, frame by frame, of a smaller world, for two CPU cores.

The model learns single frames first, which cost a sixth of a clip, then short clips, then whole clips:

python -m experiments.train --config=configs/cartoons_small.py:frames --workdir=runs/frames
python -m experiments.train --config=configs/cartoons_small.py:short --workdir=runs/short \
  --config.training.init_from=runs/frames
python -m experiments.train --config=configs/cartoons_small.py --workdir=runs/cartoons_small \
  --config.training.init_from=runs/short

Hardware: 2 CPU cores (x86 with AVX-512), on which the three stages took 2.1, 0.15 and 1.7 hours; the last saw
41,600 clips. Result: the packaged model "cartoons", whose scores are in docs/results.md. One H200 needs at
least 6.5 ms for a step of whole clips (docs/plans/cartoons_small_h200-1.json), where two cores took 2.2 s.
A token covers two frames, which trains 2.8 times as fast as one of a single frame.
The world has six of the twelve characters, eight of the fifteen actions and three of the five scenes of
`configs/cartoons.py`. The model is one of pixels: an autoencoder loses the figures (with eight numbers for
4x4 pixels of two frames, its error was .69 of that of principal components).
"""

from ml_collections import ConfigDict

from configs import base, cartoons

# Stage -> (frames of a clip, clips per batch, steps).
STAGES = {"frames": (2, 64, 1700), "short": (4, 32, 250), "clips": (16, 16, 2600)}


def get_config(stage: str = "clips") -> ConfigDict:
  frames, batch, steps = base.variant(stage, STAGES)
  config = cartoons.get_config()
  config.source.update(
    height=32,
    width=32,
    frames=frames,
    patch=2,
    spatial_patch=4,
    characters=("burglar", "cop", "girl", "fairy", "lumberjack", "fan"),
    actions=("walks", "runs", "jumps", "cartwheels", "dances", "waves", "to_car", "chases"),
    scenes=("museum", "forest", "stage"),
  )
  config.model.update(
    width=192,
    side_width=32,
    text_width=96,
    condition_width=128,
    depth=6,
    heads=3,
    text_length=144,
    # Which word means what is learned sooner from whole words than from bytes.
    word_buckets=1024,
    dtype="float32",
  )
  # Ten steps are as good as twenty, and a guidance of 2.5 as one of 4, which shows more glaring colours.
  config.sampling.update(steps=10, guidance=2.5)
  # Only the last stage ends with small updates.
  config.optimizer.schedule = "cosine" if stage == "clips" else "constant"
  config.training.update(steps=steps, batch=batch, checkpoint_every=200, keep=1, workers=0)
  return config
