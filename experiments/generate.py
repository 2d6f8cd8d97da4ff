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
PROMPT = flags.DEFINE_multi_string("prompt", None, "What is to be seen; may be given several times.")
OUT = flags.DEFINE_string("out", None, "Folder for the movies and their index.html.")
SECONDS = flags.DEFINE_float("seconds", None, "Length; default as trained.")
SEED = flags.DEFINE_integer("seed", 0, "Of the noise.", lower_bound=0, upper_bound=2**32 - 1)
SOLVER = flags.DEFINE_string("solver", None, "euler, heun or ancestral.")
STEPS = flags.DEFINE_integer("steps", None, "Of the solver.")
TURNS = flags.DEFINE_integer("turns", None, "Of a model that runs its blocks round; more is deeper.")
FORMS = flags.DEFINE_string("forms", None, "hard or dense, of a model with two forms.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 is none.")
CODEC = flags.DEFINE_string("codec", "h264", "h264 (MP4, AAC) or vp9 (WebM, Opus).")
flags.mark_flags_as_required(["prompt", "out"])

ABOUT = {
  "digit": "clips whose digit is read back as the prompt says",
  "colour": "the same of the colour",
  "direction": "the same of the direction of motion",
  "speed": "the same of the speed",
  "sense_f1": "do touch, sound, smell and taste agree with what is seen",
  "frechet": "Fréchet distance to real clips, of features; the less the better",
  "nearest_train": "distance to the nearest training digit, over that of unseen real ones; 0 would be copies",
}


def main() -> None:
  from stale_jax.files import make_folder
  from stale_jax.media import write_page
  from stale_jax.media.video import suffix
  from stale_jax.pretrained import load

  suffix(CODEC.value)
  model = load(WORKDIR.value, turns=TURNS.value, forms=FORMS.value)
  existed = Path(OUT.value).exists()
  out = make_folder(OUT.value)
  try:
    movies = model.generate(
      PROMPT.value,
      SEED.value,
      seconds=SECONDS.value,
      solver=SOLVER.value,
      steps=STEPS.value,
      guidance=GUIDANCE.value,
    )
  except UserError:
    if not existed:
      out.rmdir()
    raise
  entries = [movie.page_entry(movie.save(out, CODEC.value)) for movie in movies]
  said = model.scores
  real = {**said.get("real", {}), "frechet": said.get("frechet_floor"), "nearest_train": 1.0}
  scores = [
    (name, said[name], real.get(name), about) for name, about in ABOUT.items() if said.get(name) is not None
  ]
  how = ", ".join(f"{name} {value}" for name, value in said.get("how", {}).items())
  measured = f"Measured on {said.get('clips')} clips ({how}), by readers that were fitted on real ones."
  command = shlex.join(["python", "-m", "experiments.generate", *sys.argv[1:]])
  write_page(out / "index.html", entries, scores, measured, command)
  print(f"{len(movies)} movie(s): {out / 'index.html'}")


if __name__ == "__main__":
  run(main)
