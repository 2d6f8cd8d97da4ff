"""Makes movies from prompts: video, sensory effects, exact arrays, and a page that shows them.

python -m experiments.generate [--workdir=digits] --prompt="a red seven moves left quickly" --out=movies
python -m experiments.generate --workdir=digits --input=movie.npz --mask=left --circuit=digits --out=filled

With --input, what --mask leaves of a movie is kept, and the rest is made (docs/inpainting.md).
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
INPUT = flags.DEFINE_string(
  "input", None, "Movie to fill in: a video, or an .npz file of experiments.generate; needs --mask."
)
MASK = flags.DEFINE_string(
  "mask",
  None,
  "What of --input is made anew, separated by commas: left, right, top, bottom, centre, first:N or last:N "
  "frames, names of senses, or a file (white in a PNG; other than 0 in an .npy [frames, height, width]).",
)
CIRCUIT = flags.DEFINE_string(
  "circuit", None, "File of experiments.circuit, or digits: steers the first steps with its conditionals."
)
STEER_WEIGHT = flags.DEFINE_float("steer_weight", None, "Weight of the circuit, from 0 to 1 (default).")
STEER_SHARE = flags.DEFINE_float("steer_share", None, "Share of the steps that are steered; default: 0.2.")
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

  files = (SCRIPT, FIRST_FRAME, INPUT, MASK, CIRCUIT, TELEPORT)
  check_on_disk("--", **{flag.name: flag.value for flag in files})
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
  from stale_jax.media import curves, gates, write_page
  from stale_jax.media.video import suffix
  from stale_jax.pipeline import load
  from stale_jax.script import read_script
  from stale_jax.sizes import sized

  suffix(CODEC.value)
  if INPUT.value or MASK.value:
    _check_fills_in()
  elif CIRCUIT.value:
    raise UserError(
      "--circuit steers only movies that are filled in: give --input and --mask, or leave it out."
    )
  elif bool(PROMPT.value) == bool(SCRIPT.value):
    raise UserError("give --prompt=TEXT or --script=FILE, one of the two.")
  prompts = PROMPT.value or [read_script(SCRIPT.value) if SCRIPT.value else ""]
  if "" in prompts:
    print("without a prompt: the movie may show anything.", file=sys.stderr)
  prior = None if PRIOR.value is None else load_prior(PRIOR.value)
  model = load(WORKDIR.value, turns=TURNS.value, forms=FORMS.value, mesh=mesh, adapters=ADAPTERS.value or ())
  if HEIGHT.value is not None or WIDTH.value is not None:
    model = sized(model, HEIGHT.value, WIDTH.value)
  given = _given(model) if INPUT.value else None
  make = _filler(model, prompts, *given) if given else _maker(model, prompts, prior)
  out = at(OUT.value)
  existed = out.exists()
  if leads():
    make_folder(out)
  try:
    movies = make()
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
  if given and "sight" in given[0]:
    from stale_jax.inpainting import rows

    write_whole(out / "rows.png", rows(*given[:2], movies))
    print(f"given, known and filled in: {out / 'rows.png'}")
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


def _maker(model, prompts, prior):
  """The function that makes the movies of the flags, without known values; reads first frame and teleport."""
  from stale_jax.media import read_picture
  from stale_jax.teleport import load_teleport

  start = load_teleport(TELEPORT.value, model, TELEPORT_SHARE.value) if TELEPORT.value else None
  first = None
  if FIRST_FRAME.value:
    sight = model.source.senses.get("sight")
    if sight is None:
      raise UserError(f"{model.name} has no sight: leave out --first_frame.")
    first = {"sight": read_picture(FIRST_FRAME.value, *sight.shape[:2])[None]}
  return lambda: model.generate(
    prompts,
    SEED.value,
    seconds=SECONDS.value,
    first=first,
    fps=FPS.value,
    motion=MOTION.value,
    budget_cents=BUDGET_CENTS.value,
    price_per_hour=PRICE_PER_HOUR.value,
    prior=prior,
    start=start,
    solver=SOLVER.value,
    steps=STEPS.value,
    guidance=GUIDANCE.value,
  )


def _check_fills_in() -> None:
  """Raises UserError unless the flags describe a movie to fill in."""
  if not (INPUT.value and MASK.value):
    given, other = ("input", "mask") if INPUT.value else ("mask", "input")
    raise UserError(f"--{given} needs --{other}: which movie, and what of it is made anew.")
  kept = (SCRIPT, SECONDS, FIRST_FRAME, FPS, MOTION, BUDGET_CENTS, PRICE_PER_HOUR, HEIGHT, WIDTH)
  for flag in (*kept, PRIOR, TELEPORT):
    if flag.value is not None:
      raise UserError(
        f"--{flag.name} does not go with --input, whose length, size and rate are kept: leave it out."
      )


def _given(model):
  """Reads the movie, the mask and the circuit of the flags.

  Returns:
    (sense -> [frames, *shape], sense -> where it is unknown, the circuit or None).
  """
  from stale_jax.checkpoints.circuit_file import load_circuit
  from stale_jax.editing import read_clip
  from stale_jax.inpainting import check_inpaints
  from stale_jax.masks import read_mask

  circuit = load_circuit(CIRCUIT.value) if CIRCUIT.value else None
  check_inpaints(model, circuit)
  clip, _ = read_clip(INPUT.value, model)
  senses = {sense.name: sense for sense in model.system.data.senses}
  mask = read_mask(MASK.value, senses, model.frames)
  return clip, {name: x for name, x in mask.items() if name in clip}, circuit


def _filler(model, prompts, clip, unknown, circuit):
  """The function that fills in the movie of `_given`."""
  from stale_jax.inpainting import inpaint_movies

  steer = {"weight": STEER_WEIGHT.value, "share": STEER_SHARE.value}
  settings = {"solver": SOLVER.value, "steps": STEPS.value, "guidance": GUIDANCE.value}
  given = (model, clip, unknown, prompts, SEED.value)
  return lambda: inpaint_movies(*given, circuit=circuit, steer=steer, **settings)


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
