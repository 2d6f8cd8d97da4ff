"""Edits a movie with a prompt, without training (CycleDiffusion), and writes a page of both movies.

python -m experiments.edit --workdir=digits --input=clip.mp4 --prompt="a red two moves left quickly" \\
  [--source_prompt="a red seven moves left quickly"] --out=edited

The input is a video, or an .npz file that experiments.generate wrote. The first frames are edited, as many as
the model's training clips have.
"""

import dataclasses
import shlex
import sys

from absl import flags

from experiments.main import run
from experiments.model_flag import define_model
from stale_jax.progress import Stage

WORKDIR = define_model()
INPUT = flags.DEFINE_string("input", None, "Movie to edit: a video, or an .npz file of experiments.generate.")
PROMPT = flags.DEFINE_string("prompt", None, "What the edited movie should show.")
SOURCE_PROMPT = flags.DEFINE_string(
  "source_prompt", None, "What the input shows; default: the prompt of an .npz input, none for a video."
)
OUT = flags.DEFINE_string(
  "out", None, "Folder to write the edited movie and index.html to: a path, or gs://BUCKET/FOLDER."
)
STRENGTH = flags.DEFINE_float(
  "strength", None, "Share of the solver steps that are run, at most 1 (default)."
)
ETA = flags.DEFINE_float("eta", None, "Share of fresh noise in the steps of the encoder; default: 0.5.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the encoder.", lower_bound=0, upper_bound=2**32 - 1)
STEPS = flags.DEFINE_integer("steps", None, "Solver steps; default: the config's.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 disables it.")
flags.mark_flags_as_required(["input", "prompt", "out"])


def main() -> None:
  from stale_jax.editing import check_edits, edit_movie, read_clip
  from stale_jax.files import at, check_on_disk, make_folder
  from stale_jax.media import write_page
  from stale_jax.pipeline import load

  check_on_disk("--", input=INPUT.value)
  out = at(OUT.value)
  model = load(WORKDIR.value)
  check_edits(model)
  clip, prompt = read_clip(INPUT.value, model)
  prompt = prompt if SOURCE_PROMPT.value is None else SOURCE_PROMPT.value
  settings = {"strength": STRENGTH.value, "eta": ETA.value, "steps": STEPS.value, "guidance": GUIDANCE.value}
  with Stage("editing", note="compiling takes up to a minute the first time"):
    movie = edit_movie(model, clip, prompt, PROMPT.value, SEED.value, **settings)
  make_folder(out)
  source = dataclasses.replace(
    movie, clip=clip, prompt=f"source {prompt}".strip(), how={"input": INPUT.value}
  )
  entries = [one.page_entry(one.save(out)) for one in (movie, source)]
  command = shlex.join(["python", "-m", "experiments.edit", *sys.argv[1:]])
  lead = "An edited movie, and the movie from which it was made."
  write_page(out / "index.html", entries, [], "", command, lead=lead)
  print(f"edited {movie.seconds:g} s: {out / 'index.html'}")


if __name__ == "__main__":
  run(main)
