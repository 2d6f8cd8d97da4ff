"""Measures a model. The last line of stdout is one JSON object.

python -m experiments.evaluate [--workdir=runs/digits] --suite=captions
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from experiments.main import run

WORKDIR = flags.DEFINE_string("workdir", None, "A run's folder or a weights file; default: shipped.")
SUITE = flags.DEFINE_string("suite", None, "captions: does a clip show what its caption says?")
CLIPS = flags.DEFINE_integer("clips", 480, "How many to generate; 480 is every caption once.")
SEED = flags.DEFINE_integer("seed", 0, "Of the first clip.", lower_bound=0, upper_bound=2**31)
SOLVER = flags.DEFINE_string("solver", None, "euler, heun or ancestral.")
STEPS = flags.DEFINE_integer("steps", None, "Of the solver.")
TURNS = flags.DEFINE_integer("turns", None, "Of a model that runs its blocks round; more is deeper.")
FORMS = flags.DEFINE_string("forms", None, "hard or dense, of a model with two forms.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 is none.")
SHIFT = flags.DEFINE_float("shift", None, "Of the time grid.")
SHEET = flags.DEFINE_string("sheet", None, "Writes a PNG of the first clips here.")
flags.mark_flags_as_required(["suite"])


def main() -> None:
  from stale_jax.config import nearest
  from stale_jax.errors import UserError
  from stale_jax.evaluation import evaluate_captions
  from stale_jax.files import make_folder, write_whole
  from stale_jax.media import contact_sheet, png
  from stale_jax.pretrained import load

  suites = {"captions": evaluate_captions}
  if SUITE.value not in suites:
    raise UserError(f"unknown suite {SUITE.value!r}: {nearest(SUITE.value, suites)}")
  model = load(WORKDIR.value, turns=TURNS.value, forms=FORMS.value)
  settings = {
    "solver": SOLVER.value,
    "steps": STEPS.value,
    "guidance": GUIDANCE.value,
    "shift": SHIFT.value,
  }
  sheet = Path(SHEET.value) if SHEET.value else None
  if sheet:
    make_folder(sheet.parent)
  scores, clip = suites[SUITE.value](model, CLIPS.value, SEED.value, **settings)
  if sheet:
    picture = contact_sheet(clip["sight"][:24])
    write_whole(sheet, png(picture.repeat(4, 0).repeat(4, 1)))
  how = {"seed": SEED.value, **model.chosen, **dataclasses.asdict(model.settings(**settings))}
  line = json.dumps({"suite": SUITE.value, "model": model.name, **scores, "how": how})
  if WORKDIR.value and WORKDIR.value != "shipped":
    # Where `load` looks for it.
    path = Path(WORKDIR.value)
    write_whole(path / "evaluation.json" if path.is_dir() else path.with_suffix(".json"), line + "\n")
  print(line)


if __name__ == "__main__":
  run(main)
