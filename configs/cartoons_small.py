"""Five-sense cartoons of 32x32 pixels in latents: a model that two CPU cores train in a night.

python -m experiments.train --config=configs/autoencoder_cartoons.py --workdir=runs/autoencoder_cartoons
python -m experiments.train --config=configs/cartoons_small.py --workdir=runs/cartoons_small

A clip of 17 frames is 9 latent frames of 8x8 latents. Hardware: 2 CPU cores.
"""

from ml_collections import ConfigDict

from configs import autoencoder_cartoons, base


def get_config() -> ConfigDict:
  config = base.get_config("cartoons", times="logit_normal", optimizer="muon")
  config.senses = ("sight", "sound", "touch", "smell", "taste")
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
  # What a clip shows is decided near the noise. Every latent frame has its own time.
  config.times.update(mean=-1.8, std=1.5, independent=True)
  config.model.update(
    width=192,
    side_width=32,
    text_width=128,
    condition_width=128,
    depth=6,
    heads=6,
    text_length=164,
    causal=True,
  )
  # The other senses follow from caption and picture, so that smaller weights suffice.
  config.objective.weights = {"sound": 0.2, "touch": 0.2, "smell": 0.1, "taste": 0.1}
  config.training.update(steps=30_000, batch=32, log_every=50, checkpoint_every=500, keep=2)
  # Two latent frames are made at a time, and the first two stay in the cache. A clip has one caption, so that
  # a movie starts anew when the prompt changes.
  config.rollout.update(chunk=2, sinks=2, on_change="cut")
  config.sampling.update(steps=20, guidance=4.0, interval=(0.5, 0.98), shift=8.0)
  return config
