"""Makes movies from prompts: video, sensory effects, exact arrays, and a page to look at them.

python -m experiments.generate [--workdir=runs/digits] --prompt="a red seven moves left quickly" --out=movies
"""

import shlex
import sys
from pathlib import Path

from absl import flags

from experiments.main import run
from stale_jax.errors import UserError

WORKDIR = flags.DEFINE_string("workdir", None, "A run's folder or a weights file; default: shipped.")
PROMPT = flags.DEFINE_multi_string("prompt", None, "What is to be made; may be given several times.")
SCRIPT = flags.DEFINE_string("script", None, "A YAML file instead: a list of {at: SECONDS, prompt: TEXT}.")
OUT = flags.DEFINE_string("out", None, "Folder for the movies and their index.html.")
SECONDS = flags.DEFINE_float("seconds", None, "Length; default as trained.")
SEED = flags.DEFINE_integer("seed", 0, "Of the noise.", lower_bound=0, upper_bound=2**32 - 1)
SOLVER = flags.DEFINE_string("solver", None, "euler, heun, multistep or ancestral.")
STEPS = flags.DEFINE_integer("steps", None, "Of the solver.")
TURNS = flags.DEFINE_integer("turns", None, "Of a model that runs its blocks round; more is deeper.")
FORMS = flags.DEFINE_string("forms", None, "hard or dense, of a model with two forms.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 is none.")
FIRST_FRAME = flags.DEFINE_string("first_frame", None, "A picture that the movies begin with.")
FPS = flags.DEFINE_float("fps", None, "Frames a second, of a model that was trained to hear of it.")
MOTION = flags.DEFINE_float("motion", None, "Likewise how much moves: shorter sides of the picture a second.")
BUDGET_CENTS = flags.DEFINE_float("budget_cents", None, "US cents that choose steps and solver.")
PRICE_PER_HOUR = flags.DEFINE_float("price_per_hour", None, "Of the device, US dollars; default: list price.")
CODEC = flags.DEFINE_string("codec", "h264", "h264 (MP4, AAC) or vp9 (WebM, Opus).")
flags.mark_flags_as_required(["out"])


def main() -> None:
  from stale_jax.evaluation import SUITES
  from stale_jax.evaluation.forms import table
  from stale_jax.files import make_folder, write_whole
  from stale_jax.media import curves, gates, read_picture, write_page
  from stale_jax.media.video import suffix
  from stale_jax.pipeline import load
  from stale_jax.script import read_script

  suffix(CODEC.value)
  if bool(PROMPT.value) == bool(SCRIPT.value):
    raise UserError("say what is to be made: --prompt=TEXT, or --script=FILE.")
  prompts = PROMPT.value or [read_script(SCRIPT.value)]
  model = load(WORKDIR.value, turns=TURNS.value, forms=FORMS.value)
  first = None
  if FIRST_FRAME.value:
    sight = model.source.senses.get("sight")
    if sight is None:
      raise UserError("--first_frame shows a picture, and this model has no sight.")
    first = {"sight": read_picture(FIRST_FRAME.value, *sight.shape[:2])[None]}
  existed = Path(OUT.value).exists()
  out = make_folder(OUT.value)
  try:
    movies = model.generate(
      prompts,
      SEED.value,
      seconds=SECONDS.value,
      first=first,
      fps=FPS.value,
      motion=MOTION.value,
      budget_cents=BUDGET_CENTS.value,
      price_per_hour=PRICE_PER_HOUR.value,
      solver=SOLVER.value,
      steps=STEPS.value,
      guidance=GUIDANCE.value,
    )
  except UserError:
    if not existed:
      out.rmdir()
    raise
  entries = [movie.page_entry(movie.save(out, CODEC.value)) for movie in movies]
  if BUDGET_CENTS.value is not None:
    for movie in movies:
      how = movie.how
      print(
        f"{movie.prompt}: {how['solver']}, {how['steps']} step(s); {how['bits_per_dimension']} bits per "
        f"dimension, {how['cents']} cents, {how['kesha']:.3g} Ke$ha (1 Ke$ha = 1 bit per cent)"
      )
    print(f"choosing cost {movies[0].how['choosing_cents']} cents more")
  trunk = ""
  if model.system.network.forms != "none":
    asked = [text if isinstance(text, str) else text.parts[0][1] for text in prompts]
    weights = _weights(model, movies[0].how, asked)
    write_whole(out / "forms.md", table(asked, weights))
    trunk = gates(asked, weights)
    print(f"which form each block leans to: {out / 'forms.md'}")
  said = {suite: model.scores[suite] for suite in SUITES if suite in model.scores}
  scores = [row for suite, found in said.items() for row in SUITES[suite].shown(found)]
  long = [(SUITES[suite], found) for suite, found in said.items() if SUITES[suite].panels]
  drawn = [curves(suite.panels(found), found["window"] / found["rate"]) for suite, found in long]
  measured = "; ".join(
    f"{suite}: {found.get('clips')} clips, {_facts(found)}" for suite, found in said.items()
  )
  command = shlex.join(["python", "-m", "experiments.generate", *sys.argv[1:]])
  write_page(out / "index.html", entries, scores, measured, command, drawn, trunk)
  print(f"{len(movies)} movie(s): {out / 'index.html'}")


def _weights(model, how, prompts):
  """Of the vehicular form in each block, step by step, [prompts, steps, blocks]."""
  import jax.numpy as jnp

  from stale_jax.clip import MICRO, Context
  from stale_jax.evaluation.forms import plots
  from stale_jax.text import tokenize

  network = model.system.network
  times = model.settings(steps=how["steps"], shift=how["shift"]).times(model.frames)[:, 0, 0]
  known = {name: jnp.full(len(prompts), how[name], jnp.float32) for name in MICRO if name in how}
  context = Context(text=jnp.asarray(tokenize(prompts, network.text_length)), **known)
  return plots(network, model.params, context, times, model.frames)


def _facts(scores) -> str:
  return ", ".join(f"{name} {value}" for name, value in scores.get("how", {}).items())


if __name__ == "__main__":
  run(main)
