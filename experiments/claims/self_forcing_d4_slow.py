"""With a reward for steady motion, the variance of the speed falls by at least 30%, its mean by at most 10%.

The packaged causal model is trained with the reward of `objectives/grpo.py`, after the GRPO of Self-Forcing++
(arXiv 2510.02283). Before and after, the model makes 256 movies of test captions, as long as a clip. The
speed from frame to frame is measured by `evaluation/motion.py`, with another estimator than the reward's.
Value: the mean over movies of the variance of the speed, after divided by before. Bar: .7. The mean speed
after must be at least .9 times that before.
"""

MOVIES, STEPS = 256, 300


def measure(seed: int) -> dict:
  from stale_jax.checkpoints.load import model_at
  from stale_jax.pipeline import load
  from stale_jax.testing.models import trained

  config = {**model_at("causal")[1], "seed": seed, "grpo": {"group": 8}, "ema": {"decay": 0.9}}
  config["optimizer"] = {"name": "adamw", "schedule": "constant", "learning_rate": 2e-4, "warmup": 10}
  config["sampling"] = {**config["sampling"], "steps": 8}
  return compared(load("causal"), trained(config, STEPS, batch=32, init_from="causal"), seed)


def compared(before, after, seed: int) -> dict:
  """The result of the claim for the model before and after training with the reward."""
  import numpy as np

  from experiments.claims._student import asked
  from stale_jax.evaluation.motion import frame_motion

  prompts, seeds = asked(before, MOVIES, seed)

  def speeds(model) -> np.ndarray:
    chunks = model.rollout(prompts, seeds, frames=model.frames, steps=8)
    sight = np.concatenate([chunk["sight"] for chunk in chunks], 1)
    return np.array([[frame_motion(a, b).speed for a, b in zip(x[:-1], x[1:], strict=True)] for x in sight])

  old, new = speeds(before), speeds(after)
  value, kept = new.var(1).mean() / old.var(1).mean(), new.mean() / old.mean()
  conditions = {"speed kept at least .9": bool(kept >= 0.9)}
  return {
    "value": float(value),
    "bar": 0.7,
    "holds": bool(value <= 0.7) and all(conditions.values()),
    "conditions": conditions,
    "speed_kept": float(kept),
    "speed": [float(old.mean()), float(new.mean())],
    "variance": [float(old.var(1).mean()), float(new.var(1).mean())],
    "movies": MOVIES,
  }
