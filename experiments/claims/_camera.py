"""Adapters for one motion of the camera each, trained on filmed digits."""

from stale_jax.data.sources.filmed import MOTIONS

SPEED = 0.5  # Pixels per frame, in the clips to train on.
# The component of `evaluation.camera.ink_motion` that a motion of the camera has, and its sign.
SEEN_IN = {
  name: next((i, sign) for i, sign in enumerate(signs) if sign)
  for name, signs in MOTIONS.items()
  if any(signs)
}


def camera_config(motion: str, steps: int, seed: int) -> dict:
  """The config that trains a LoRA of the packaged model for a motion of the camera."""
  from stale_jax.checkpoints.load import model_at

  _, config = model_at("causal")
  filmed = {"name": "filmed", "motions": (motion,), "speed": SPEED}
  training = {"steps": steps, "batch": 8, "log_every": 20, "checkpoint_every": steps, "keep": 1}
  return {
    **config,
    "seed": seed,
    "source": {**config["source"], **filmed},
    "adapter": {"name": "lora", "rank": 8},
    "optimizer": {"name": "adamw", "learning_rate": 5e-3, "warmup": 10},
    "ema": {"decay": 0.95},
    "training": {**config["training"], **training, "init_from": "causal"},
  }


def has_motion(sight, motion: str):
  """Which clips show a motion of the camera: more than half of SPEED in its direction, [clips].

  The digits of the clips must not move along this direction by themselves.
  """
  from stale_jax.evaluation.camera import ink_motion

  component, sign = SEEN_IN[motion]
  return sign * ink_motion(sight)[:, component] > SPEED / 2
