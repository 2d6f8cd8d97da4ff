"""Panels that see one another show one figure (.6 of the variance of its looks) and follow their captions.

The packaged model of cartoons makes 24 stories of three panels, with and without consistent self-attention
(`sampling/story.py`), from the same noise: one character in one place, another action in each panel. No
caption states skin, hair and build. Value: the variance of their probabilities, as the packaged reader reads
them, between the panels of a story, divided by that without consistent self-attention. Bar: .6. The accuracy
of what captions state may fall by at most .03. Real clips in which panels are independent, or all show the
first panel, must fail.
"""

STORIES = 24


def measure(seed: int) -> dict:
  from experiments.claims._cartoons import judged
  from stale_jax.evaluation.cartoons import evaluate_stories
  from stale_jax.pipeline import load
  from stale_jax.testing.cartoon_models import IndependentPanels, OnePanel

  def measured(model) -> dict:
    found, _ = evaluate_stories(model, STORIES, seed=seed)
    print(f"variance {found['variance']:.3f}, ratio {found['ratio']:.3f}, lost {found['lost']:.3f}")
    conditions = {"at most .03 of what captions state is lost": found["lost"] <= 0.03}
    return {"value": found["ratio"], "conditions": conditions, **found}

  return judged(measured, (IndependentPanels, OnePanel), load("cartoons"), 0.6, at_most=True)
