r"""Real videos of 256x256 pixels with sound, in the latents of an autoencoder, on one GPU.

python -m experiments.train --config=configs/real_gpu.py --workdir=runs/real_gpu \
  --config.source.source.path=DIR

DIR is a folder of videos, with or without captions; with configs/real_gpu.py:shards it is a set of curated
clips, OUTPUT/clips/1.0.0. First train configs/autoencoder_real_gpu.py. configs/real_gpu.py:plan has noise of
the same shape in place of the latents and no sound, for plans without data. Hardware: one GPU of 24 to 80 GB.
Memory of a step of the plan, by the compiler: 9.3 of 20.7 GiB on an L4, 9.6 of 72.9 GiB on an A100
(docs/plans). Time and result: none, it has not been run at this size.
"""

from ml_collections import ConfigDict

from configs import autoencoder_real_gpu, base


def get_config(source: str = "folder") -> ConfigDict:
  start = base.variant(source, {"plan": "noise", "folder": "folder", "shards": "folder"})
  config = base.get_config(start, times="logit_normal", optimizer="muon")
  if source == "plan":
    # 17 frames are 1 + 16 / 4 = 5 latent frames.
    config.source.update(frames=5, height=32, width=32, channels=16, patch=(1, 2, 2), rate=4.0)
  else:
    config.senses = ("sight", "sound")
    config.source = {
      "name": "latents",
      "source": {**autoencoder_real_gpu.get_config(source).source.to_dict(), "hearing": True},
      "autoencoder": "runs/autoencoder_real_gpu",
      "cache": "runs/real_gpu_latents",
      # Windows of the videos to encode, once each.
      "size": 65_536,
      # 16x16 tokens a latent frame.
      "patch": 2,
    }
    config.objective.weights = {"sound": 0.2}
  config.times.update(mean=-1.5, std=1.5)
  # 366 million parameters.
  config.model.update(
    width=1024,
    side_width=64,
    text_width=256,
    condition_width=512,
    depth=20,
    heads=8,
    text_length=256,
    dtype="bfloat16",
    remat="full",
  )
  config.first.share = 0.5
  config.optimizer.warmup = 500
  config.ema.decay = 0.9999
  config.training.update(steps=100_000, batch=16, checkpoint_every=1000, keep=2, workers=4)
  config.sampling.update(steps=50, guidance=4.0, shift=6.0, batch=4)
  return config
