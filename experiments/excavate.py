"""Finds the best EMA length after a run (post-hoc EMA). The last line of stdout is one JSON object.

python -m experiments.excavate --workdir=runs/digits [--std=.03,.05,.07,.1,.15,.2] [--out=best.safetensors]

The run must have saved snapshots: train with --config.ema.snapshots=32. An EMA length is given as a relative
standard deviation: .1 averages over about a tenth of the run. The method is post-hoc EMA of Karras et al.,
arXiv 2312.02696 (EDM2), section 3.
"""

import dataclasses
import json

from absl import flags

from experiments.main import run
from stale_jax.progress import Stage

WORKDIR = flags.DEFINE_string("workdir", None, "Run folder.")
STD = flags.DEFINE_list(
  "std",
  [".03", ".05", ".07", ".1", ".15", ".2"],
  "EMA lengths to compare, as relative standard deviations, separated by commas.",
)
CLIPS = flags.DEFINE_integer("clips", 240, "Clips to generate for each length.")
OUT = flags.DEFINE_string("out", None, "Weights file (.safetensors) to write, of the best length.")
flags.mark_flags_as_required(["workdir"])

SHOWN = ("frechet", "kid", "digit", "colour", "direction", "speed", "sense_f1")


def main() -> None:
  import jax
  import jax.numpy as jnp

  from stale_jax.checkpoints import excavate, find_snapshots
  from stale_jax.checkpoints.config_file import read_config
  from stale_jax.checkpoints.posthoc_ema import weights_of
  from stale_jax.checkpoints.weights import save_weights
  from stale_jax.evaluation import evaluate_captions
  from stale_jax.files import at, make_folder, write_whole
  from stale_jax.pipeline import Model, load

  stds = _stds(STD.value)
  workdir = at(WORKDIR.value)
  out = at(OUT.value) if OUT.value else None
  trained = load(WORKDIR.value)
  snapshots = find_snapshots(workdir)
  misfits = [weights_of(snapshots, std)[1] for std in stds]
  if out:
    make_folder(out.parent)

  def measure(params, name: str) -> dict:
    # The same kind of array for every length, so that the sampler is compiled once.
    params = jax.tree.map(jnp.asarray, jax.device_get(params))
    model = Model(trained.system, params, trained.name)
    with Stage(f"measuring {name}"):
      return evaluate_captions(model, CLIPS.value)[0]

  own = measure(trained.params, "the run's own EMA")
  shown = [key for key in SHOWN if own[key] is not None]

  def show(name, scores):
    print(f"{name:>10}" + "".join(f"{scores[key]:11.3f}" for key in shown), flush=True)

  print(f"{'std':>10}" + "".join(f"{key:>11}" for key in shown))
  show("run's own", own)
  rows = []
  for std, misfit in zip(stds, misfits, strict=True):
    scores = measure(excavate(snapshots, std), f"std={std:g}")
    show(f"{std:g}", scores)
    rows.append({"std": std, "misfit": misfit, **{key: scores[key] for key in shown}})
  best = min(rows, key=lambda row: row["frechet"])
  print(
    f"std={best['std']:g} has the smallest Fréchet distance (between real clips: {own['frechet_floor']:.1f})."
  )
  if out:
    save_weights(out, excavate(snapshots, best["std"]), read_config(workdir / "config.json"))
  result = {
    "model": trained.name,
    "step": snapshots[-1].step,
    "snapshots": len(snapshots),
    "clips": CLIPS.value,
    "frechet_floor": own["frechet_floor"],
    "kid_floor": own["kid_floor"],
    "own": {key: own[key] for key in shown},
    "excavated": rows,
    "best": best["std"],
    "how": dataclasses.asdict(trained.settings()),
  }
  line = json.dumps(result)
  write_whole(workdir / "excavation.json", line + "\n")
  print(line)


def _stds(words: list[str]) -> list[float]:
  """The numbers of --std in ascending order, each once; raises UserError if they are not numbers."""
  from stale_jax.errors import UserError

  try:
    stds = sorted({float(word) for word in words})
  except ValueError:
    stds = []
  if not stds:
    raise UserError(f"--std={','.join(words)}: give numbers, separated by commas.")
  return stds


if __name__ == "__main__":
  run(main)
