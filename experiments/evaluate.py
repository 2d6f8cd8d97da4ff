"""Measures a model. The last line of stdout is one JSON object.

python -m experiments.evaluate [--workdir=runs/digits] --suite=captions
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from experiments.main import run
from stale_jax.errors import UserError

WORKDIR = flags.DEFINE_string("workdir", None, "A run's folder or a weights file; default: shipped.")
SUITE = flags.DEFINE_string(
  "suite",
  None,
  "captions: does a clip show what its caption says? denoising: the loss on held-out clips. "
  "dynamics: does a trajectory obey its law? labels: what a model trained with cr-hinge can tell. "
  "likelihood: bits a dimension of held-out clips. "
  "liveliness: does a movie longer than any it was trained on stay alive? "
  "contamination: was the test's handwriting trained on? "
  "reconstruction: what of clips an autoencoder keeps.",
)
REFERENCE = flags.DEFINE_string(
  "reference", None, "For contamination: a model of the same recipe that is known to be clean."
)
SECONDS = flags.DEFINE_float(
  "seconds", None, "For liveliness: of a movie; default: twelve clips of training."
)
PLOT = flags.DEFINE_string("plot", None, "For liveliness: writes an SVG of scores over time here.")
CLIPS = flags.DEFINE_integer("clips", None, "How many; default as the suite says.")
SEED = flags.DEFINE_integer("seed", 0, "Of the first clip.", lower_bound=0, upper_bound=2**31)
SOLVER = flags.DEFINE_string("solver", None, "euler, heun, multistep or ancestral.")
STEPS = flags.DEFINE_integer("steps", None, "Of the solver.")
TURNS = flags.DEFINE_integer("turns", None, "Of a model that runs its blocks round; more is deeper.")
FORMS = flags.DEFINE_string("forms", None, "hard or dense, of a model with two forms.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 is none.")
INTERVAL = flags.DEFINE_list(
  "interval", None, "Of time, in which there is guidance: from,to (0 is the data)."
)
SHIFT = flags.DEFINE_float("shift", None, "Of the time grid.")
SHEET = flags.DEFINE_string("sheet", None, "Writes a PNG of the first clips here.")
flags.mark_flags_as_required(["suite"])


def main() -> None:
  from stale_jax.checkpoints.named import NAMED
  from stale_jax.construct import nearest
  from stale_jax.evaluation import SUITES
  from stale_jax.files import at, make_folder, write_whole
  from stale_jax.media import contact_sheet, curves, png
  from stale_jax.pipeline import load, scores_path

  if SUITE.value not in SUITES:
    raise UserError(f"unknown suite {SUITE.value!r}: {nearest(SUITE.value, SUITES)}")
  suite = SUITES[SUITE.value]
  model = load(WORKDIR.value, turns=TURNS.value, forms=FORMS.value)
  if suite.is_for_autoencoders != model.system.is_autoencoder:
    kind = "no autoencoder" if suite.is_for_autoencoders else "an autoencoder: take reconstruction"
    raise UserError(f"the suite {SUITE.value!r} cannot measure {model.name}, which is {kind}.")
  settings = {
    "solver": SOLVER.value,
    "steps": STEPS.value,
    "guidance": GUIDANCE.value,
    "interval": _numbers(INTERVAL.value),
    "shift": SHIFT.value,
  }
  settings = {name: value for name, value in settings.items() if value is not None}
  if settings and not suite.samples:
    raise UserError(f"the suite {SUITE.value!r} makes no clips: leave out --{', --'.join(settings)}.")
  sheet = Path(SHEET.value) if SHEET.value else None
  if sheet:
    if not suite.samples and not suite.is_for_autoencoders:
      raise UserError(f"--sheet shows clips, and the suite {SUITE.value!r} makes none.")
    if "sight" not in [sense.name for sense in model.system.data.senses]:
      raise UserError("--sheet shows pictures, and this model has no sight.")
    make_folder(sheet.parent)
  asked = {} if CLIPS.value is None else {"clips": CLIPS.value}
  if REFERENCE.value:
    if not suite.compares:
      raise UserError(f"the suite {SUITE.value!r} compares with no other model: leave out --reference.")
    asked["reference"] = load(REFERENCE.value)
  long = {"seconds": SECONDS.value, "plot": PLOT.value}
  long = {name: value for name, value in long.items() if value is not None}
  if long and not suite.panels:
    raise UserError(f"the suite {SUITE.value!r} makes no long movies: leave out --{', --'.join(long)}.")
  plot = Path(long.pop("plot")) if "plot" in long else None
  if plot:
    make_folder(plot.parent)
  scores, clip = suite.measure(model, seed=SEED.value, **asked, **long, **settings)
  if sheet:
    picture = contact_sheet(clip["sight"][:24])
    write_whole(sheet, png(picture.repeat(4, 0).repeat(4, 1)))
  if plot:
    write_whole(plot, curves(suite.panels(scores), scores["window"] / scores["rate"]))
  sampler = dataclasses.asdict(model.settings(**settings)) if suite.samples else {}
  if suite.panels:
    sampler["seconds"] = scores["frames"] / scores["rate"]
  scores = {
    "suite": SUITE.value,
    "model": model.name,
    **scores,
    "how": {"seed": SEED.value, **model.chosen, **sampler},
  }
  if WORKDIR.value and WORKDIR.value not in NAMED:
    # Where `load` looks for it.
    said = {**model.scores, SUITE.value: scores}
    write_whole(scores_path(at(WORKDIR.value)), json.dumps(said) + "\n")
  print(json.dumps(scores))


def _numbers(words: list[str] | None) -> tuple[float, ...] | None:
  try:
    return None if words is None else tuple(map(float, words))
  except ValueError as error:
    raise UserError(f"--interval={','.join(words)}: two numbers are needed.") from error


if __name__ == "__main__":
  run(main)
