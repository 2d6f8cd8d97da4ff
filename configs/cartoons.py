"""Five-sense cartoons of 64x64 pixels, frame by frame.

python -m experiments.train --config=configs/cartoons.py --workdir=runs/cartoons

Hardware: one GPU, and 16 CPU cores that draw the clips. Time and result: not measured. On an H200, it
should take less than nine minutes with compiling (docs/plans/cartoons_h200-1.json). On one CPU core, in
float32 and with --config.training.accumulate=16, 20 steps of whole batches ran: some 85 s each, 5.2 GiB of
memory, and the loss fell from 2.48 to .52 (without given first frames, weights of .2 for touch and sound).
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
  config = base.get_config("cartoons", times="logit_normal", optimizer="muon")
  config.senses = ("sight", "sound", "touch", "smell", "taste")
  config.source.update(height=64, width=64, frames=16, patch=1, spatial_patch=8)
  # What a clip shows is decided near the noise. Every frame has its own time.
  config.times.update(mean=-1.8, std=1.5, independent=True)
  # 20 million parameters.
  config.model.update(
    width=320,
    side_width=40,
    text_width=160,
    condition_width=192,
    depth=7,
    heads=5,
    text_length=164,
    causal=True,
    dtype="bfloat16",
  )
  # The other senses follow from caption and picture, so that smaller weights suffice.
  config.objective.weights = {"sound": 0.4, "touch": 0.6, "smell": 0.1, "taste": 0.1}
  # With times near the noise, clean past frames would be too rare for long movies.
  config.first.update(share=0.4, frames=8, noise=0.3)
  config.training.update(steps=4000, batch=64, log_every=50, checkpoint_every=1000, keep=2, workers=14)
  # Two frames are made at a time, and the first two stay in the cache. A clip has one caption, so that
  # a movie starts anew when the prompt changes.
  config.rollout.update(chunk=2, sinks=2, on_change="cut")
  config.sampling.update(steps=20, guidance=4.0, interval=(0.5, 0.98), shift=8.0)
  return config
