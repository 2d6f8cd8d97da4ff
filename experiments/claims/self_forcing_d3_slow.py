"""Trained on windows of movies longer than its clips, a student keeps its motion ten times as long as a clip.

Compares Self-Forcing++ (arXiv 2510.02283) with Self-Forcing, both with four steps and equally many
iterations, starting from the packaged causal model. One judges windows of movies of five clips, the other
judges clips. Each makes 32 movies of ten clips. Motion retention is the speed of the last 15% divided by that
of the first clip, at most 1 (`evaluation/liveliness.py`). Value: the retention of Self-Forcing++. It must be
at least .8 and at least 1.5 times that of Self-Forcing, and luma must drift by at most 5% of its range.
"""

WINDOWS, MOVIES = 10, 32


def measure(seed: int) -> dict:
  from experiments.claims._student import distilled

  short = distilled(seed)
  return compared(short, distilled(seed, 5 * short.frames), seed)


def compared(short, long, seed: int) -> dict:
  """The result of the claim for given models."""
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
