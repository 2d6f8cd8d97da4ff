"""Trained again with other seeds, merging still saves a larger share of the time than it costs of the loss.

The setting is that of `decarboxylation_pays_slow`, with both models trained from four seeds. Value: the mean
over seeds of the relative rise of the loss divided by the relative saving of time; bar 1. The claim holds if
the mean plus three standard errors over training seeds is below 1.
"""

SEEDS = 4


def measure(seed: int) -> dict:
  from experiments.claims._cycle import CLIPS, MERGE_STEPS, merged_and_whole
  from stale_jax.evaluation.table import ScoreEstimate

  rises, times, values = [], [], []
  for i in range(SEEDS):
    losses, time = merged_and_whole(seed + i)
    rises.append(float(losses["merged"].mean() / losses["whole"].mean() - 1))
    times.append(time)
    values.append(rises[-1] / (1 - time) if time < 1 else float("inf"))
    print(f"seed {seed + i}: loss {rises[-1]:+.2%}, time {time:.3f}")
  value, error = sum(values) / SEEDS, ScoreEstimate.of(values).error
  return {
    "value": value,
    "bar": 1.0,
    "holds": value + 3 * error < 1,
    "error": error,
    "values": values,
    "loss_changes": rises,
    "time_ratios": times,
    "clips": CLIPS,
    "steps": MERGE_STEPS,
  }
