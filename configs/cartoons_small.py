"""Five-sense cartoons of 32x32 pixels, a few frames at a time, of a smaller world, for two CPU cores.

The model learns single frames first, which cost a sixth of a clip, then short clips, then whole clips, and at
last to continue clips:

python -m experiments.train --config=configs/cartoons_small.py:frames --workdir=runs/frames
python -m experiments.train --config=configs/cartoons_small.py:short --workdir=runs/short \
  --config.training.init_from=runs/frames
python -m experiments.train --config=configs/cartoons_small.py:clips --workdir=runs/clips \
  --config.training.init_from=runs/short
python -m experiments.train --config=configs/cartoons_small.py --workdir=runs/cartoons_small \
  --config.training.init_from=runs/clips

Hardware: 2 CPU cores (x86 with AVX-512), on which the four stages took 6 hours; the last two saw 82,000
clips. Result: the packaged model "cartoons", whose scores are in docs/results.md. It was trained for 650 more
steps of the third stage; until these, touch and sound had weights of .2. One H200 needs at least 6.5 ms for a
step of whole clips (docs/plans/cartoons_small_h200-1.json), where two cores took 2.2 s.
A token covers two frames, which trains 2.8 times as fast as one of a single frame.
The world has six of the twelve characters, eight of the fifteen actions and three of the five scenes of
`configs/cartoons.py`. The model is one of pixels: an autoencoder loses the figures (with eight numbers for
4x4 pixels of two frames, its error was .69 of that of principal components).
"""

from ml_collections import ConfigDict

from configs import base, cartoons

# Stage -> (frames of a clip, clips per batch, steps).
STAGES = {
  "frames": (2, 64, 1700),
  "short": (4, 32, 250),
  "clips": (16, 16, 2600),
  "long": (16, 16, 1900),
}


def get_config(stage: str = "long") -> ConfigDict:
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
  # Ten steps are as good as twenty, and a guidance of 2.5 as one of 4, which shows more glaring colours. With
  # a shift of 8, the last of ten steps begins at t = .47, and small things, such as props, are blurred.
  config.sampling.update(steps=10, guidance=2.5, shift=4.0)
  if stage == "long":
    # As in training, eight frames follow eight others. With fewer at a time, movies decay faster.
    config.rollout.chunk = 8
    config.optimizer.update(learning_rate=0.001, matrix_learning_rate=0.01)
  else:
    config.first.share = 0.0
  # Only the last two stages end with small updates.
  config.optimizer.schedule = "cosine" if stage in ("clips", "long") else "constant"
  config.training.update(steps=steps, batch=batch, checkpoint_every=200, keep=1, workers=0)
  return config
