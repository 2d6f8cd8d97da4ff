"""Character, action and scene that were never seen together are shown at once, .9 as often as seen ones.

The packaged model of cartoons, trained without one in ten of the (character, action, scene), makes 192 clips:
a third of seen combinations, a third of held-out ones, and a third of held-out (character, colour) pairs
(suite `composition`). Value: the share of the clips of held-out triples in which the packaged reader finds
all three factors at once, divided by that of seen combinations. Bar: .9; the share of seen ones must be at
least .5. Real clips of other captions, frozen first frames, and the training clips that fit the captions best
must fail.
"""

CLIPS = 192


def measure(seed: int) -> dict:
  from experiments.claims._cartoons import judged
  from stale_jax.evaluation.cartoons import evaluate_composition
  from stale_jax.pipeline import load
  from stale_jax.testing.cartoon_models import Frozen, NearestTrainingClip, OtherCaption

  def measured(model) -> dict:
    found, _ = evaluate_composition(model, clips=CLIPS, seed=1000 * seed)
    print(", ".join(f"{name} {value:.3f}" for name, value in found.items() if name not in ("clips", "real")))
    conditions = {"seen at least .5": found["triple_seen"] >= 0.5}
    return {"value": found["triple"], "conditions": conditions, **found}

  return judged(measured, (OtherCaption, Frozen, NearestTrainingClip), load("cartoons"), 0.9)
