"""Latent video of 81 frames at 480p or 720p, 1.3 billion parameters: for planning, not yet trained.

python -m experiments.plan --config=configs/stale_1b.py:480p --topology=v5e:16x16

Hardware: 256 chips of TPU v5e. Time: none measured; 1.3 s per step at least (roofline). Memory, by the
compiler, at 480p: 2.7 of 15.75 GiB per chip. Result: none, it has not been run.
"""

from ml_collections import ConfigDict

from configs import base

# (rows, columns) of the latents of an autoencoder with patches of 8x8 pixels, of 1 frame and then of 4 frames
# each.
LATENTS = {"480p": (60, 104), "720p": (90, 160)}


def get_config(resolution: str = "480p") -> ConfigDict:
  height, width = base.variant(resolution, LATENTS)
  config = base.get_config("noise", times="logit_normal")
  # 81 frames are 1 + 80 / 4 = 21 latent frames: 32,760 tokens at 480p (480x832), 75,600 at 720p (720x1280).
  config.source.update(frames=21, height=height, width=width, channels=16, patch=(1, 2, 2), rate=4.0)
  config.times.update(mean=-1.5, std=1.5)
  config.model.update(
    width=2048,
    text_width=512,
    condition_width=512,
    depth=20,
    heads=16,
    text_length=512,
    dtype="bfloat16",
    remat="full",
    scan=True,
  )
  config.optimizer.update(schedule="constant", learning_rate=1e-4, warmup=1000, b2=0.95)
  config.ema.decay = 0.9999
  config.mesh.update(data=1, fsdp=-1, context=4, ulysses=4)
  config.training.update(steps=100_000, checkpoint_every=1000)
  config.sampling.update(steps=50, guidance=5.0, shift=8.0, batch=1)
  return config
