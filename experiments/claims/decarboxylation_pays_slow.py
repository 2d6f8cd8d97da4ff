"""Merging the least-attended third of the tokens saves a larger share of time than it costs of the loss.

Token merging (`models.merging`) in a model of eight blocks and 64 tokens of sight (16 places, four frames):
the first block sees all tokens, the other seven see 44. Two models are trained alike, with and without
merging. Value: the relative rise of the held-out denoising loss, divided by the relative saving of the time
of a forward pass; the two models are timed alternately. Bar: the value must be below 1. The rise of the loss
if tokens are merged in the model trained without merging is reported too. One training run does not tell how
runs differ: see `decarboxylation_pays_over_seeds_slow`.
"""


def measure(seed: int) -> dict:
  from experiments.claims._cycle import CLIPS, MERGE_STEPS, merged_and_whole
  from stale_jax.evaluation.table import ScoreEstimate

  losses, time = merged_and_whole(seed)
  whole = losses["whole"].mean()

  def rise(name: str):
    change = (losses[name] - losses["whole"]) / whole
    return float(change.mean()), ScoreEstimate.of(change).error

  (merged, error), (untrained, untrained_error) = rise("merged"), rise("merged without training")
  print(f"held-out loss without merging: {whole:.5f}")
  print(f"change of the loss with merging: {merged:+.2%} (paired standard error {error:.2%})")
  print(f"the same, not trained with merging: {untrained:+.2%} (paired standard error {untrained_error:.2%})")
  print(f"time of a forward pass: {time:.3f} of the unmerged model's")
  value = merged / (1 - time) if time < 1 else float("inf")
  return {
    "value": value,
    "bar": 1.0,
    "holds": value < 1,
    "time_ratio": time,
    "loss_change": merged,
    "loss_change_error": error,
    "loss_change_without_training": untrained,
    "loss": {name: float(x.mean()) for name, x in losses.items()},
    "clips": CLIPS,
    "steps": MERGE_STEPS,
  }
