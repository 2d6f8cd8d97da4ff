"""A generated cartoon shows what its caption says (.9 of the factors, each in .8 of the clips).

The packaged model of cartoons makes 96 clips of captions of the test split; the packaged reader reads them
(suite `cartoons`). Value: the mean accuracy over character, colour, action, direction, scene, time of day,
prop, camera and second character. Bar: .9; each factor must reach .8, and the clips must be no copies: their
distance to the nearest training clip is at least half of that of held-out clips. Real clips of other
captions, frozen first frames, and the training clips that fit the captions best must fail.
"""

CLIPS = 96


def measure(seed: int) -> dict:
  from experiments.claims._cartoons import judged
  from stale_jax.evaluation.cartoons import FACTORS, evaluate_cartoons
  from stale_jax.pipeline import load
  from stale_jax.testing.cartoon_models import Frozen, NearestTrainingClip, OtherCaption

  def measured(model) -> dict:
    found, _ = evaluate_cartoons(model, clips=CLIPS, seed=1000 * seed)
    each = {factor: found[factor] for factor in FACTORS}
    print(", ".join(f"{name} {share:.3f} (real {found['real'][name]:.3f})" for name, share in each.items()))
    conditions = {
      "each factor at least .8": min(each.values()) >= 0.8,
      "no copies": found["nearest_train"] >= 0.5,
    }
    real = {factor: found["real"][factor] for factor in FACTORS}
    more = {name: found[name] for name in ("kid", "kid_floor", "liveliness", "nearest_train")}
    return {"value": found["mean"], "conditions": conditions, "each": each, "real": real, **more}

  return judged(measured, (OtherCaption, Frozen, NearestTrainingClip), load("cartoons"), 0.9)
