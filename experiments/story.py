"""Makes a story: movies (panels) of one character, the transitions between them, and a page that shows them.

Transitions are made by the packaged motion predictor, for frames of its size.

python -m experiments.story --workdir=digits --prompt="a red seven moves left slowly" \\
  --prompt="a blue seven moves left slowly" --out=story
"""

import shlex
import sys

from absl import flags

from experiments.main import run
from experiments.model_flag import define_model
from stale_jax.progress import Stage

WORKDIR = define_model()
PROMPT = flags.DEFINE_multi_string("prompt", None, "Prompt of a panel; repeat the flag for each panel.")
OUT = flags.DEFINE_string(
  "out", None, "Folder to write the panels and index.html to: a path, or gs://BUCKET/FOLDER."
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the first panel's noise.", lower_bound=0, upper_bound=2**31)
RATE = flags.DEFINE_float("rate", None, "Share of the other panels' tokens that a panel attends to; 0: none.")
TILE = flags.DEFINE_integer("tile", None, "Number of panels that are denoised together.")
STEPS = flags.DEFINE_integer("steps", None, "Solver steps; default: the config's.")
flags.mark_flags_as_required(["prompt", "out"])


def main() -> None:
  import numpy as np

  from stale_jax.errors import UserError
  from stale_jax.files import at, make_folder
  from stale_jax.media import write_story
  from stale_jax.pipeline import load
  from stale_jax.training.motion import load_motion

  out = at(OUT.value)
  model = load(WORKDIR.value)
  sight = model.source.senses.get("sight")
  if sight is None:
    raise UserError(f"{model.name} has no sight, which a story needs.")
  movies = model.story(PROMPT.value, SEED.value, rate=RATE.value, tile=TILE.value, steps=STEPS.value)
  seen = np.stack([movie.clip["sight"] for movie in movies])
  with Stage("making the transitions and the page"):
    motion = load_motion()
    fits, several = motion.shape == sight.shape, len(movies) > 1
    between = motion.between(seen[:-1, -1], seen[1:, 0]) if fits and several else []
    make_folder(out)
    panels = [(movie.clip, movie.prompt, movie.save(out)) for movie in movies]
    command = shlex.join(["python", "-m", "experiments.story", *sys.argv[1:]])
    write_story(out / "index.html", panels, list(between), movies[0].facts, command)
  if several and not fits:
    made, needed = ("x".join(map(str, shape[:2])) for shape in (motion.shape, sight.shape))
    print(f"no transitions: the motion predictor makes frames of {made} pixels, not of {needed}.")
  print(f"{len(movies)} panel(s): {out / 'index.html'}")


if __name__ == "__main__":
  run(main)
