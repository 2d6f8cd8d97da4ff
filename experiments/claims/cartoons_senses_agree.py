"""What a generated cartoon sounds, feels, smells and tastes like agrees with what it shows (mean F1).

The packaged model of cartoons makes 96 clips (suite `cartoons`). Value: the F1 of the events in each other
sense against the events that follow from sight, as the packaged reader reads it, by the rules of the source,
averaged over senses. Bar: .9. Real clips with the senses of other clips, and with a frozen first frame, must
fail. (The senses of a training clip agree with its pictures: that a clip is a copy is seen in
cartoons_captions.)
"""

CLIPS = 96


def measure(seed: int) -> dict:
  from experiments.claims._cartoons import judged
  from stale_jax.evaluation.cartoons import evaluate_cartoons
  from stale_jax.pipeline import load
  from stale_jax.testing.cartoon_models import Frozen, OtherSenses

  def measured(model) -> dict:
    found, _ = evaluate_cartoons(model, clips=CLIPS, seed=1000 * seed)
    for name, value in found["sense_f1_each"].items():
      print(f"{name:8} F1 {value:.3f}   on real clips {found['real']['sense_f1_each'][name]:.3f}")
    each, real = found["sense_f1_each"], found["real"]["sense_f1_each"]
    return {"value": found["sense_f1"], "conditions": {}, "each": each, "real": real}

  return judged(measured, (OtherSenses, Frozen), load("cartoons"), 0.9)
