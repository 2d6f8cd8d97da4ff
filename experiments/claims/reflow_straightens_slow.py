"""Reflow makes the paths of the ODE straighter; more training on real clips does not.

A small model of digits is trained, and then trained further for as many updates: by reflow, on pairs of noise
and its own clips (`training.steps.reflow`), or ordinarily, on real clips. Value: the deviation of the paths
from straight lines (`sampling.straightness.bend`) after reflow, divided by that of the teacher; bar .7. Also
needed: the same ratio after ordinary training is more than .9, and one Euler step of the student comes
closer to its own twenty steps than one step of the teacher does to its twenty.
"""

BEFORE, PAIRS, UPDATES, CLIPS = 600, 150, 4, 64


def measure(seed: int) -> dict:
  import tempfile
  from pathlib import Path

  from experiments.claims._small import digits
  from stale_jax.pipeline import load
  from stale_jax.run import train

  config = digits(seed, canvas=12, frames=4, depth=4)
  config["ema"] = {"decay": 0.98}
  config["sampling"] = {**config["sampling"], "guidance": 1.0}
  training = {**config["training"], "batch": 32, "log_every": 100, "keep": 1}
  with tempfile.TemporaryDirectory() as folder:

    def run(name: str, steps: int, **sections) -> None:
      more = {"steps": steps, "checkpoint_every": steps, **sections.pop("training", {})}
      train({**config, **sections, "training": {**training, **more}}, str(Path(folder) / name))

    teacher = str(Path(folder) / "teacher")
    run("teacher", BEFORE)
    run("reflow", PAIRS, training={"init_from": teacher}, reflow={"updates": UPDATES})
    run("ordinary", PAIRS * UPDATES, training={"init_from": teacher})
    each = {name: _paths(load(str(Path(folder) / name)), seed) for name in ("teacher", "reflow", "ordinary")}
  bends = {name: values[0] for name, values in each.items()}
  gaps = {name: values[1] for name, values in each.items()}
  value, ordinary = bends["reflow"] / bends["teacher"], bends["ordinary"] / bends["teacher"]
  conditions = {
    "reflow straightens": value <= 0.7,
    "ordinary training does not": ordinary > 0.9,
    "one step is closer to twenty": gaps["reflow"] < gaps["teacher"],
  }
  return {
    "value": value,
    "bar": 0.7,
    "holds": all(conditions.values()),
    "conditions": conditions,
    "after_ordinary_training": ordinary,
    "bends": bends,
    "squared_error_of_one_step": gaps,
    "clips": CLIPS,
  }


def _paths(model, seed: int) -> tuple[float, float]:
  """Returns (mean bend of the paths, mean squared difference between clips of 1 step and of 20 steps)."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.clip import Context
  from stale_jax.sampling.solve import prior, solve
  from stale_jax.sampling.straightness import bend
  from stale_jax.text import tokenize

  system = model.system
  process, network, source = system.diffusion.process, system.network, system.data.source.test_split()
  keys = jax.random.split(jax.random.key(seed + 1), CLIPS)
  text = tokenize([source.caption(i) for i in range(CLIPS)], network.text_length)
  context = network.encode_captions(model.params, Context(text=jnp.asarray(text)))
  noise = prior(process, system.data.senses, source.frames, keys)

  def denoiser(clip, t, context):
    return network.apply(model.params, clip, t, context)

  def times(steps: int):
    return model.settings(steps=steps, batch=CLIPS, shift=1.0).times(source.frames)

  one, many = (
    jax.jit(solve, static_argnums=(0, 1, 6))(process, denoiser, noise, times(n), context, keys, "euler")
    for n in (1, 20)
  )
  bent = jax.jit(bend, static_argnums=(0, 1))(process, denoiser, noise, times(20), context)
  gap = float(np.mean(np.square(one["sight"] - many["sight"])))
  return float(np.mean(bent["sight"])), gap
