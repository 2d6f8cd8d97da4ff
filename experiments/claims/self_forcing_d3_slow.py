"""Trained on windows of movies longer than its clips, a student keeps its motion ten times as long as a clip.

Compares students of four steps trained by Self-Forcing++ (arXiv 2510.02283) and by Self-Forcing, for equally
many iterations, from the packaged causal model. Self-Forcing++ trains on windows of movies as long as five
clips, Self-Forcing on movies as long as one clip. Each student makes 32 movies as long as ten clips. Motion
retention is the speed of the last 15% of a movie divided by that of its first window, at most 1
(`evaluation/liveliness.py`). Value: the retention of Self-Forcing++. It must be at least .8 and at least 1.5
times that of Self-Forcing, and its luma must drift by at most 5% of the range of luma.
"""

WINDOWS, MOVIES = 10, 32


def measure(seed: int) -> dict:
  from experiments.claims._student import distilled

  short = distilled(seed)
  return compared(short, distilled(seed, 5 * short.frames), seed)


def compared(short, long, seed: int) -> dict:
  """The result of the claim for two students, `short` of Self-Forcing and `long` of Self-Forcing++."""
  from experiments.claims._student import asked
  from stale_jax.evaluation.liveliness import Liveliness

  prompts, seeds = asked(long, MOVIES, seed)

  def scores(model) -> dict:
    meter = Liveliness(model.frames)
    for chunk in model.rollout(prompts, seeds, frames=WINDOWS * model.frames):
      meter.add(chunk["sight"])
    found = meter.scores()
    return {name: found[name] for name in ("retention_end", "retention", "luma_drift", "liveliness", "dead")}

  found = {"self_forcing": scores(short), "self_forcing++": scores(long)}
  value, before = (found[name]["retention_end"] for name in ("self_forcing++", "self_forcing"))
  drift = found["self_forcing++"]["luma_drift"]
  conditions = {
    "at least 1.5 times that of Self-Forcing": value >= 1.5 * before,
    "luma drift at most .05": drift <= 0.05,
  }
  return {
    "value": value,
    "bar": 0.8,
    "holds": value >= 0.8 and all(conditions.values()),
    "conditions": conditions,
    "over_self_forcing": value / max(before, 1e-6),
    "luma_drift": drift,
    "scores": found,
    "movies": MOVIES,
  }
