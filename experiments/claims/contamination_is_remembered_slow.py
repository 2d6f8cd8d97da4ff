"""The share of the test handwriting that was trained on is read from the model alone, within 20 points.

Small models are trained with 0, 30 and 100 % of the test handwriting leaked. The leak is estimated from each
model's losses, compared with a clean model of the same recipe and another seed (evaluation/membership.py).
Value: the greatest absolute error of the estimated share; where there is no estimate, the error is 1. Bar:
.2.
"""

STEPS = 4000


def measure(seed: int) -> dict:
  from experiments.claims._small import digits
  from stale_jax.data.sources.digits import handwriting
  from stale_jax.evaluation.membership import handwriting_losses, membership
  from stale_jax.testing.models import trained

  def losses(seed, leak):
    config = digits(seed, canvas=12, depth=3)
    config["source"]["leak"] = leak
    model = trained(config, STEPS)
    return {split: handwriting_losses(model, split) for split in ("train", "test")}

  test = len(handwriting("test")[1])
  clean, errors, found = losses(seed + 1, 0.0), [], {}
  for leak in (0.0, 0.3, 1.0):
    found[str(leak)] = said = membership(losses(seed, leak), clean)
    untold = said["estimate"] is None
    errors.append(1.0 if untold else abs(said["estimate"] - round(leak * test) / test))
    print(f"leaked {leak:4.2f}", said)
  return {"value": max(errors), "bar": 0.2, "holds": max(errors) <= 0.2, "found": found, "steps": STEPS}
