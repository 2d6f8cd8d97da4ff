"""A LoRA for one motion of the camera, for the packaged model "causal".

python -m experiments.train --config=configs/camera_lora.py:pan_left --workdir=runs/pan_left

The motions are the keys of MOTIONS in stale_jax/data/sources/filmed.py. Hardware: one CPU core. Time: some
three minutes. Result: claim camera_lora_slow.
"""

from ml_collections import ConfigDict

from configs import digits_causal


def get_config(motion: str = "pan_left") -> ConfigDict:
  config = digits_causal.get_config()
  config.source.update(name="filmed", motions=(motion,), speed=0.5)
  config.adapter = {"name": "lora", "rank": 8, "alpha": 8.0}
  config.optimizer = {"name": "adamw", "learning_rate": 5e-3, "warmup": 10}
  config.ema.decay = 0.95
  config.training.update(steps=600, batch=8, log_every=20, checkpoint_every=600, init_from="causal")
  return config
