"""What a generated movie sounds, feels, smells and tastes like agrees with what it shows (mean F1).

The model of digits makes 192 clips. Value: the F1 of the events in each other sense against the events that
follow from sight by the rules of the source `digits`, averaged over senses. Bar: .9.
"""


def measure(seed: int) -> dict:
  from stale_jax.evaluation import evaluate_captions
  from stale_jax.pipeline import load

  scores, _ = evaluate_captions(load("digits"), clips=192, seed=1000 * seed)
  for name, value in scores["sense_f1_each"].items():
    print(f"{name:8} F1 {value:.3f}   on real clips {scores['real']['sense_f1_each'][name]:.3f}")
  return {
    "value": scores["sense_f1"],
    "bar": 0.90,
    "holds": scores["sense_f1"] >= 0.90,
    "each": scores["sense_f1_each"],
    "real": scores["real"]["sense_f1_each"],
  }
