"""Measures a model. The last line of stdout is one JSON object.

python -m experiments.evaluate [--workdir=runs/digits] --suite=captions
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from experiments.main import run

WORKDIR = flags.DEFINE_string("workdir", None, "A run's folder or a weights file; default: shipped.")
SUITE = flags.DEFINE_string(
  "suite",
  None,
  "captions: does a clip show what its caption says? contamination: was the test's handwriting trained on?",
)
CLIPS = flags.DEFINE_integer("clips", None, "How many to generate or draw; captions: 480, each once.")
SEED = flags.DEFINE_integer("seed", 0, "Of the first clip.", lower_bound=0, upper_bound=2**31)
SOLVER = flags.DEFINE_string("solver", None, "euler, heun or ancestral.")
STEPS = flags.DEFINE_integer("steps", None, "Of the solver.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 is none.")
SHIFT = flags.DEFINE_float("shift", None, "Of the time grid.")
REFERENCE = flags.DEFINE_string("reference", None, "contamination: a clean model of the same recipe.")
SHEET = flags.DEFINE_string("sheet", None, "Writes a PNG of the first clips here.")
flags.mark_flags_as_required(["suite"])


def main() -> None:
  from stale_jax.config import nearest
  from stale_jax.errors import UserError
  from stale_jax.evaluation import evaluate_captions, evaluate_contamination
  from stale_jax.files import make_folder, write_whole
  from stale_jax.media import contact_sheet, png
  from stale_jax.pretrained import load

  suites = {
    "captions": lambda: evaluate_captions(model, **count, seed=SEED.value, **settings),
    "contamination": lambda: (evaluate_contamination(model, reference, **count, seed=SEED.value), {}),
  }
  if SUITE.value not in suites:
    raise UserError(f"unknown suite {SUITE.value!r}: {nearest(SUITE.value, suites)}")
  model = load(WORKDIR.value)
  reference = load(REFERENCE.value) if REFERENCE.value else None
  count = {} if CLIPS.value is None else {"clips": CLIPS.value}
  settings = {
    "solver": SOLVER.value,
    "steps": STEPS.value,
    "guidance": GUIDANCE.value,
    "shift": SHIFT.value,
  }
  sheet = Path(SHEET.value) if SHEET.value else None
  if sheet and SUITE.value != "captions":
    raise UserError(f"the suite {SUITE.value!r} makes no pictures for --sheet.")
  if sheet:
    make_folder(sheet.parent)
  scores, clip = suites[SUITE.value]()
  if sheet:
    picture = contact_sheet(clip["sight"][:24])
    write_whole(sheet, png(picture.repeat(4, 0).repeat(4, 1)))
  how = {"seed": SEED.value, **dataclasses.asdict(model.settings(**settings))}
  line = json.dumps({"suite": SUITE.value, "model": model.name, **scores, "how": how})
  if SUITE.value == "captions" and WORKDIR.value not in (None, "shipped"):
    # Where `load` looks for it.
    path = Path(WORKDIR.value)
    write_whole(path / "evaluation.json" if path.is_dir() else path.with_suffix(".json"), line + "\n")
  print(line)


if __name__ == "__main__":
  run(main)
