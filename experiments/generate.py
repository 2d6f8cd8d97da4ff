"""Makes movies from prompts: video, sensory effects, exact arrays, and a page that shows them.

python -m experiments.generate [--workdir=runs/digits] --prompt="a red seven moves left quickly" --out=movies
"""

import shlex
import sys
from collections.abc import Mapping

from absl import flags

from experiments.main import run
from experiments.model_flag import define_adapters, define_mesh, define_model, on_devices
from stale_jax.errors import UserError
from stale_jax.progress import Stage, tracked

WORKDIR = define_model()
MESH, PROCESSES = define_mesh()
PROMPT = flags.DEFINE_multi_string("prompt", None, "Caption of a movie; repeat the flag for more movies.")
SCRIPT = flags.DEFINE_string(
  "script", None, "YAML file of changing prompts: a list of {at: SECONDS, prompt: TEXT}."
)
OUT = flags.DEFINE_string(
  "out", None, "Folder to write the movies and index.html to: a path, or gs://BUCKET/FOLDER."
)
SECONDS = flags.DEFINE_float(
  "seconds",
  None,
  "Length of a movie; default: as long as the training clips, after the last prompt of a script begins.",
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the noise.", lower_bound=0, upper_bound=2**32 - 1)
SOLVER = flags.DEFINE_string(
  "solver", None, "A solver of docs/processes.md, such as euler or multistep; default: the config's."
)
STEPS = flags.DEFINE_integer("steps", None, "Solver steps; default: the config's.")
TURNS = flags.DEFINE_integer("turns", None, "For a model with looped blocks: how often the blocks run.")
FORMS = flags.DEFINE_string("forms", None, "For a model with blocks of two forms: hard or dense.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 disables it.")
ADAPTERS = define_adapters()
FIRST_FRAME = flags.DEFINE_string("first_frame", None, "Picture file: the first frame of the movies.")
FPS = flags.DEFINE_float("fps", None, "Frames per second, for a model that is conditioned on it.")
MOTION = flags.DEFINE_float(
  "motion",
  None,
  "Amount of motion, for a model that is conditioned on it: mean speed of the fastest tenth of the picture, "
  "in short sides of the picture per second.",
)
PRIOR = flags.DEFINE_string(
  "prior", None, "Prior file of experiments.find: a tuned distribution of the initial noise."
)
BUDGET_CENTS = flags.DEFINE_float(
  "budget_cents", None, "Budget in US cents for sampling all movies, by which steps and solver are chosen."
)
PRICE_PER_HOUR = flags.DEFINE_float(
  "price_per_hour", None, "Price of the device in US dollars per hour; default: its list price."
)
HEIGHT = flags.DEFINE_integer("height", None, "Height of the movies in pixels; default: as in training.")
WIDTH = flags.DEFINE_integer("width", None, "Width of the movies in pixels; default: as in training.")
TELEPORT = flags.DEFINE_string(
  "teleport", None, "File of experiments.teleport, with which the first solver steps are left out."
)
TELEPORT_SHARE = flags.DEFINE_float(
  "teleport_share", 0.15, "Share of the solver steps that a teleport leaves out."
)
CODEC = flags.DEFINE_string("codec", "h264", "Video codec: h264 (MP4, AAC) or vp9 (WebM, Opus).")
flags.mark_flags_as_required(["out"])


def main() -> None:
  from stale_jax.files import at, check_on_disk

  check_on_disk("--", script=SCRIPT.value, first_frame=FIRST_FRAME.value, teleport=TELEPORT.value)
  at(OUT.value)  # A bucket that does not answer is reported before any work.
  with on_devices(MESH, PROCESSES) as mesh:
    _generate(mesh)


def _generate(mesh: Mapping[str, int] | None) -> None:
  """Makes the movies on `mesh`, and writes them; of several processes, the first writes."""
  from stale_jax.checkpoints.prior_file import load_prior
  from stale_jax.evaluation import SUITES
  from stale_jax.evaluation.forms import table
  from stale_jax.files import at, is_address, make_folder, write_whole
  from stale_jax.hosts import leads
  from stale_jax.media import curves, gates, read_picture, write_page
  from stale_jax.media.video import suffix
  from stale_jax.pipeline import load
  from stale_jax.script import read_script
  from stale_jax.sizes import sized
  from stale_jax.teleport import load_teleport

  suffix(CODEC.value)
  if bool(PROMPT.value) == bool(SCRIPT.value):
    raise UserError("give --prompt=TEXT or --script=FILE, one of the two.")
  prompts = PROMPT.value or [read_script(SCRIPT.value)]
  if "" in prompts:
    print("without a prompt: the movie may show anything.", file=sys.stderr)
  prior = None if PRIOR.value is None else load_prior(PRIOR.value)
  model = load(WORKDIR.value, turns=TURNS.value, forms=FORMS.value, mesh=mesh, adapters=ADAPTERS.value or ())
  if HEIGHT.value is not None or WIDTH.value is not None:
    model = sized(model, HEIGHT.value, WIDTH.value)
  start = load_teleport(TELEPORT.value, model, TELEPORT_SHARE.value) if TELEPORT.value else None
  first = None
  if FIRST_FRAME.value:
    sight = model.source.senses.get("sight")
    if sight is None:
      raise UserError(f"{model.name} has no sight: leave out --first_frame.")
    first = {"sight": read_picture(FIRST_FRAME.value, *sight.shape[:2])[None]}
  out = at(OUT.value)
  existed = out.exists()
  if leads():
    make_folder(out)
  try:
    movies = model.generate(
      prompts,
      SEED.value,
      seconds=SECONDS.value,
      first=first,
      fps=FPS.value,
      motion=MOTION.value,
      prior=prior,
      budget_cents=BUDGET_CENTS.value,
      price_per_hour=PRICE_PER_HOUR.value,
      start=start,
      solver=SOLVER.value,
      steps=STEPS.value,
      guidance=GUIDANCE.value,
    )
  except BaseException:
    if not existed and leads() and not is_address(out):  # A bucket has no empty folders.
      out.rmdir()
    raise
  weights, captions = None, [text if isinstance(text, str) else text.parts[0][1] for text in prompts]
  if model.system.network.forms != "none":
    weights = _weights(model, movies[0].how, captions)
  if not leads():
    return
  if SCRIPT.value and SECONDS.value is None:
    (script,), length = prompts, movies[0].seconds
    print(f"the movie lasts {length:g} s, since its last prompt begins at second {script.last:g}.")
  stage = Stage("writing", len(movies), "movies")
  entries = list(tracked((movie.page_entry(movie.save(out, CODEC.value)) for movie in movies), stage))
  if BUDGET_CENTS.value is not None:
    for movie in movies:
      how = movie.how
      print(
        f"{movie.prompt}: {how['solver']}, {how['steps']} step(s); {how['bits_per_dimension']} bits per "
        f"dimension, {how['cents']} cents, {how['kesha']:.3g} Ke$ha (1 Ke$ha = 1 bit per cent)"
      )
    print(f"choosing the settings cost another {movies[0].how['choosing_cents']} cents")
  trunk = ""
  if weights is not None:
    write_whole(out / "forms.md", table(captions, weights))
    trunk = gates(captions, weights)
    print(f"the form that each block prefers at each step: {out / 'forms.md'}")
  results = {suite: model.scores[suite] for suite in SUITES if suite in model.scores}
  rows = [row for suite, scores in results.items() for row in SUITES[suite].shown(scores)]
  rollouts = [(SUITES[suite], scores) for suite, scores in results.items() if SUITES[suite].panels]
  plots = [curves(suite.panels(scores), scores["window"] / scores["rate"]) for suite, scores in rollouts]
  measured = "; ".join(
    f"{suite}: {scores.get('clips')} clips, {_facts(scores)}" for suite, scores in results.items()
  )
  command = shlex.join(["python", "-m", "experiments.generate", *sys.argv[1:]])
  write_page(out / "index.html", entries, rows, measured, command, plots, trunk)
  print(f"{len(movies)} movie(s): {out / 'index.html'}")


def _weights(model, how, prompts):
  """The weight of the vehicular form (attention along time) in each block at each solver step.

  Args:
    model: a model with two forms (`models.forms`).
    how: the settings that the movies were made with.
    prompts: one caption per movie.

  Returns:
    Weights from 0 to 1, [prompts, steps, blocks]. The rest of the weight is that of attention over space.
  """
  import jax.numpy as jnp

  from stale_jax.clip import MICRO, Context
  from stale_jax.evaluation.forms import plots
  from stale_jax.sampling import Sampling
  from stale_jax.text import tokenize

  network = model.system.network
  settings = model.settings(**{field.name: how[field.name] for field in dataclasses.fields(Sampling)})
  times = settings.times(model.frames, model.system.data.senses)[:, 0, 0]
  known = {name: jnp.full(len(prompts), how[name], jnp.float32) for name in MICRO if name in how}
  context = Context(text=jnp.asarray(tokenize(prompts, network.text_length)), **known)
  return plots(network, model.params, context, times, model.frames)


def _facts(scores) -> str:
  """The settings that scores were measured with, as a line of text."""
  return ", ".join(f"{name} {value}" for name, value in scores.get("how", {}).items())


if __name__ == "__main__":
  run(main)
