"""Langevin dynamics on the noise lowers an energy by 30%, and the noise stays as large as that of the prior.

Guidance in the space of codes (CycleDiffusion, arXiv 2210.05559, section 3.4; `sampling/editing/langevin`),
with the model of digits. The energy is the squared distance of the digit, in the last frame, from a line at a
fifth of the picture's width. Value: the mean energy at the end divided by that at the beginning, over the
clips of 24 test captions; bar: .7. Also needed:

- the mean square of the noise, in coordinates in which the prior is N(0, 1), is between .8 and 1.2;
- the digits of the captions are read from the guided clips at least .8 times as often as before;
- with the weight 0, the same number of steps does not reach the bar.
"""

CLIPS, STEPS = 24, 10
DYNAMICS = {"weight": 1000.0, "size": 0.2, "iterations": 20}


def measure(seed: int) -> dict:
  import dataclasses

  import jax.numpy as jnp
  import numpy as np

  from stale_jax.evaluation.reader import fitted_reader
  from stale_jax.guidance_by_energy import guide_by_energy
  from stale_jax.pipeline import load
  from stale_jax.sampling.editing import Langevin

  model = load("digits")
  test = dataclasses.replace(model.source, split="test", seed=seed)
  examples = [test[index] for index in range(CLIPS)]
  prompts, seeds = [example["caption"] for example in examples], range(seed, seed + CLIPS)
  digits = np.array([example["labels"]["digit"] for example in examples])
  reader = fitted_reader(dataclasses.replace(model.source, split="train"))

  def energy(clip):
    ink = jnp.maximum(clip["sight"][:, -1].max(-1) + 0.9, 0)
    across = (ink * jnp.linspace(0, 1, ink.shape[-1])).sum((1, 2)) / (ink.sum((1, 2)) + 1e-3)
    return jnp.square(across - 0.2)

  def run(**changes):
    settings = Langevin(**{**DYNAMICS, **changes})
    guided = guide_by_energy(model, prompts, seeds, energy, settings, steps=STEPS)
    right = float(np.mean(reader(guided.clip["sight"]).labels["digit"] == digits))
    first, last = (float(guided.energies[at].mean()) for at in (0, -1))
    row = {"first": first, "last": last, "norm": float(guided.norms.mean()), "right": right}
    print(f"{changes or 'guided'}: {row}", flush=True)
    return row

  before = model.sample(prompts, seeds, solver="euler", how="all_frames", steps=STEPS)
  right = float(np.mean(reader(before["sight"]).labels["digit"] == digits))
  rows = {"guided": run(), "weight 0": run(weight=0.0)}
  value, alone = (row["last"] / row["first"] for row in rows.values())
  conditions = {
    "the noise is as large as the prior's": 0.8 <= rows["guided"]["norm"] <= 1.2,
    "the digits are read": rows["guided"]["right"] >= 0.8 * right,
    "weight 0 does not reach the bar": alone > 0.7,
  }
  return {
    "value": value,
    "bar": 0.7,
    "holds": bool(value <= 0.7 and all(conditions.values())),
    "conditions": conditions,
    "right_before": right,
    **rows,
    "clips": CLIPS,
  }
