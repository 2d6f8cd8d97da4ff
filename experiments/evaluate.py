"""Measures a model. The last line of stdout is one JSON object.

python -m experiments.evaluate --list
python -m experiments.evaluate [--workdir=runs/digits] --suite=captions

The scores of a run are kept in its folder, in evaluation.json; pages of movies show them.
"""

import dataclasses
import json
from collections.abc import Mapping

from absl import flags

from experiments.main import run
from experiments.model_flag import define_mesh, define_model, on_devices
from stale_jax.errors import UserError
from stale_jax.fields import nearest
from stale_jax.files import AnyPath
from stale_jax.progress import Stage

WORKDIR = define_model()
MESH, PROCESSES = define_mesh()
# Here, so that they can be listed before JAX is imported; a test compares them with `evaluation.SUITES`.
SUITE_SUMMARIES = {
  "captions": "do generated clips show what their captions say, and how close are they to real clips?",
  "cartoons": "do generated cartoons show what their captions say, and how close are they to real clips?",
  "composition": "do cartoons combine what no training clip has together?",
  "contamination": "was the handwriting of the test set in the training data?",
  "denoising": "the denoising loss on held-out clips.",
  "dynamics": "do generated trajectories obey the law of the data?",
  "features": "what can a linear probe read from the denoiser, by block and noise level?",
  "labels": "how well a model trained with cr-hinge predicts the labels of clips.",
  "likelihood": "bits per dimension of held-out clips.",
  "liveliness": "do movies longer than the training clips keep moving?",
  "memorisation": "are generated clips copies of training clips?",
  "reconstruction": "how closely an autoencoder reconstructs held-out clips.",
}
LIST = flags.DEFINE_boolean("list", False, "Lists the suites and exits.")
SUITE = flags.DEFINE_string("suite", None, f"One of {', '.join(SUITE_SUMMARIES)}; --list describes them.")
REFERENCE = flags.DEFINE_string(
  "reference", None, "For contamination: a model of the same recipe that is known to be clean."
)
SECONDS = flags.DEFINE_float(
  "seconds", None, "For liveliness: length of a movie; default: twelve training clips."
)
PLOT = flags.DEFINE_string(
  "plot", None, "SVG file to write: for liveliness, the scores over time; for features, by block and time."
)
CLIPS = flags.DEFINE_integer("clips", None, "Number of clips; the default depends on the suite.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the first clip.", lower_bound=0, upper_bound=2**31)
SOLVER = flags.DEFINE_string(
  "solver", None, "A solver of docs/processes.md, such as euler or multistep; default: the config's."
)
STEPS = flags.DEFINE_integer("steps", None, "Solver steps; default: the config's.")
TURNS = flags.DEFINE_integer("turns", None, "For a model with looped blocks: how often the blocks run.")
FORMS = flags.DEFINE_string("forms", None, "For a model with blocks of two forms: hard or dense.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 disables it.")
INTERVAL = flags.DEFINE_list(
  "interval", None, "FROM,TO: the times at which guidance is applied; 0 is data, 1 is noise."
)
SHIFT = flags.DEFINE_float(
  "shift", None, "Shift of the time grid; above 1, steps near the noise are smaller; default: the config's."
)
SHEET = flags.DEFINE_string("sheet", None, "PNG file to write, a contact sheet of the first clips.")


def main() -> None:
  if LIST.value:
    for name, summary in SUITE_SUMMARIES.items():
      print(f"{name:16}{summary}")
    return
  if SUITE.value is None:
    raise UserError(f"--suite is missing: choose {', '.join(SUITE_SUMMARIES)}; --list describes them.")
  if SUITE.value not in SUITE_SUMMARIES:
    raise UserError(f"unknown suite {SUITE.value!r}: {nearest(SUITE.value, SUITE_SUMMARIES)}")
  from stale_jax.files import at

  files = {flag: at(value) for flag, value in (("sheet", SHEET.value), ("plot", PLOT.value)) if value}
  with on_devices(MESH, PROCESSES) as mesh:
    _measure(mesh, **files)


def _measure(
  mesh: Mapping[str, int] | None, sheet: AnyPath | None = None, plot: AnyPath | None = None
) -> None:
  """Measures the model that the flags name on `mesh`; the first process prints and stores its scores.

  Args:
    mesh: see `on_devices`.
    sheet, plot: the files that --sheet and --plot name.
  """
  from stale_jax.checkpoints.named import NAMED
  from stale_jax.evaluation import SUITES
  from stale_jax.files import at, make_folder, write_whole
  from stale_jax.hosts import leads
  from stale_jax.media import contact_sheet, curves, heat_maps, png
  from stale_jax.pipeline import load
  from stale_jax.scores import read_scores, scores_path

  suite = SUITES[SUITE.value]
  model = load(WORKDIR.value, turns=TURNS.value, forms=FORMS.value, mesh=mesh)
  if suite.is_for_autoencoders != model.system.is_autoencoder:
    kind = "not an autoencoder" if suite.is_for_autoencoders else "an autoencoder: use reconstruction"
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
    raise UserError(f"the suite {SUITE.value!r} generates no clips: leave out --{', --'.join(settings)}.")
  if sheet:
    if not suite.samples and not suite.is_for_autoencoders:
      raise UserError(f"the suite {SUITE.value!r} generates no clips: leave out --sheet.")
    if "sight" not in [sense.name for sense in model.system.data.senses]:
      raise UserError(f"{model.name} has no sight: leave out --sheet.")
    make_folder(sheet.parent)
  options = {} if CLIPS.value is None else {"clips": CLIPS.value}
  if REFERENCE.value:
    if not suite.compares:
      raise UserError(f"the suite {SUITE.value!r} compares with no other model: leave out --reference.")
    options["reference"] = load(REFERENCE.value, mesh=mesh)
  rollout = {} if SECONDS.value is None else {"seconds": SECONDS.value}
  refused = [*rollout, *([] if plot is None or suite.maps else ["plot"])]
  if refused and not suite.panels:
    raise UserError(f"the suite {SUITE.value!r} makes no long movies: leave out --{', --'.join(refused)}.")
  if plot:
    make_folder(plot.parent)
  with Stage(f"measuring {SUITE.value}"):
    scores, clip = suite.measure(model, seed=SEED.value, **options, **rollout, **settings)
  if not leads():
    return
  if sheet:
    picture = contact_sheet(clip["sight"][:24])
    write_whole(sheet, png(picture.repeat(4, 0).repeat(4, 1)))
  if plot:
    drawn = heat_maps(**suite.maps(scores)) if suite.maps else None
    write_whole(plot, drawn or curves(suite.panels(scores), scores["window"] / scores["rate"]))
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
    # Read again: another suite may have been measured in the meantime.
    all_scores = {**read_scores(at(WORKDIR.value)), SUITE.value: scores}
    write_whole(scores_path(at(WORKDIR.value)), json.dumps(all_scores) + "\n")
  print(json.dumps(scores))


def _numbers(words: list[str] | None) -> tuple[float, ...] | None:
  """The numbers of --interval; raises UserError if they are not numbers."""
  try:
    return None if words is None else tuple(map(float, words))
  except ValueError as error:
    raise UserError(f"--interval={','.join(words)}: give two numbers, for example 0.25,0.75.") from error


if __name__ == "__main__":
  run(main)
