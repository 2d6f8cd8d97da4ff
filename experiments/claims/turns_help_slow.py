"""Of a cycle trained with random turns the held-out denoising loss falls from 1 to 2 to 4 turns.

Two blocks, run round 1 to 4 times in training, the number drawn anew each step. Value is the
lesser of the two falls (1 to 2, 2 to 4) in standard errors of the paired difference over clips.
"""

STEPS, CLIPS = 4000, 512


def measure(seed: int) -> dict:
  import dataclasses

  import numpy as np

  from experiments.claims._small import digits
  from stale_jax.evaluation.denoising import held_out_losses
  from stale_jax.pipeline import Model
  from stale_jax.testing.models import trained

  model = trained(digits(seed, canvas=12, frames=4, patch=2, depth=2, turns=4), STEPS)

  def loss(turns):
    network = model.system.network.clone(turns=turns)
    turned = Model(dataclasses.replace(model.system, network=network), model.params, model.name)
    return held_out_losses(turned, CLIPS, seed)["sight"].mean(1)

  each = {n: loss(n) for n in (1, 2, 4)}

  def error(x):
    return float(x.std(ddof=1) / np.sqrt(len(x)))

  for turns, loss in each.items():
    print(f"{turns} turn(s): loss {loss.mean():.5f}, standard error over clips {error(loss):.5f}")
  falls = {f"{a} to {b}": each[a] - each[b] for a, b in ((1, 2), (2, 4))}
  for name, fall in falls.items():
    print(f"{name}: falls by {fall.mean():.5f}, paired standard error {error(fall):.5f}")
  value = min(float(fall.mean()) / error(fall) for fall in falls.values())
  return {
    "value": value,
    "bar": 3.0,
    "holds": value >= 3,
    "loss": {turns: float(loss.mean()) for turns, loss in each.items()},
    "error": {turns: error(loss) for turns, loss in each.items()},
    "fall": {name: float(fall.mean()) for name, fall in falls.items()},
    "fall_error": {name: error(fall) for name, fall in falls.items()},
    "clips": CLIPS,
    "steps": STEPS,
  }
