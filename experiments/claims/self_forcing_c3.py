"""A student is trained on exactly the movies that it generates, bit by bit.

Self-Forcing (arXiv 2506.08009) is checked with a small causal student of four steps, with a sink and with
noise on cached frames. The frames of training's rollout, in a window that starts at the second frame, are
compared with those that generation makes from the same seeds, for each possible exit step (in generation, the
step at which the time grid ends). Value: the number of values that differ. Bar: 0. `other_seed` is that
number if training has other seeds, at the last exit step; it must be above 0.
"""


def measure(seed: int) -> dict:
  import numpy as np

  from experiments.claims._student import FRAMES, STEPS, generated, student, trained_on
  from stale_jax.training.steps.rollouts import joined

  model, start = student(seed), 1

  def differ(step: int, other: int = 0) -> tuple[int, float]:
    ours = joined(trained_on(model, seed + other, step, start)[0].clip)
    theirs, _ = generated(model, seed, step, start + FRAMES)
    pairs = [(np.asarray(ours[name]), theirs[name][:, start:]) for name in theirs]
    return sum(int((a != b).sum()) for a, b in pairs), max(float(np.abs(a - b).max()) for a, b in pairs)

  each = [differ(step) for step in range(STEPS)]
  value, other = sum(count for count, _ in each), differ(STEPS - 1, 10)[0]
  return {
    "value": value,
    "bar": 0,
    "holds": value == 0 < other,
    "each_step": [count for count, _ in each],
    "greatest": max(size for _, size in each),
    "other_seed": other,
  }
