"""In a cycle trained with a random number of turns, the held-out denoising loss falls from 1 to 2 to 4 turns.

A cycle runs the same blocks several times, in turns (`models.cycle`). Here two blocks run 1 to 4 times in
training, and the number is drawn anew in each step. Value: the smaller of the two falls of the loss (1 to 2,
2 to 4), in standard errors of the paired difference over the clips of one training run; bar 3. Clips of one
run do not tell how runs differ: see `turns_help_over_seeds_slow`.
"""


def measure(seed: int) -> dict:
  from experiments.claims._cycle import CLIPS, TURNS_STEPS, loss_by_turns
  from stale_jax.evaluation.table import ScoreEstimate

  losses = loss_by_turns(seed)
  falls = {f"{a} to {b}": losses[a] - losses[b] for a, b in ((1, 2), (2, 4))}
  for name, fall in falls.items():
    print(f"{name}: falls by {fall.mean():.5f}, paired standard error {ScoreEstimate.of(fall).error:.5f}")
  value = min(float(fall.mean()) / ScoreEstimate.of(fall).error for fall in falls.values())
  return {
    "value": value,
    "bar": 3.0,
    "holds": value >= 3,
    "loss": {turns: float(loss.mean()) for turns, loss in losses.items()},
    "error": {turns: ScoreEstimate.of(loss).error for turns, loss in losses.items()},
    "fall": {name: float(fall.mean()) for name, fall in falls.items()},
    "fall_error": {name: ScoreEstimate.of(fall).error for name, fall in falls.items()},
    "clips": CLIPS,
    "steps": TURNS_STEPS,
  }
