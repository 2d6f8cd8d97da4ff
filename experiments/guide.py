"""Makes movies of low energy, without training: Langevin dynamics on the sampler's noise (CycleDiffusion).

python -m experiments.guide --workdir=digits --prompt="a red seven moves left quickly" \\
  --energy=my_energies:at_the_top --out=guided

The energy is MODULE:FUNCTION, a JAX function from clips, sense -> [clips, frames, ...] in [-1, 1], to one
number per clip; less is better. The page shows each movie above the one from which it began.
"""

import os
import shlex
import sys

from absl import flags

from experiments.main import run
from experiments.model_flag import define_model
from stale_jax.progress import Stage

WORKDIR = define_model()
PROMPT = flags.DEFINE_multi_string("prompt", None, "What the movie shows; repeat the flag for more movies.")
ENERGY = flags.DEFINE_string("energy", None, "Energy of the clips, as module:function.")
OUT = flags.DEFINE_string(
  "out", None, "Folder to write the movies and index.html to: a path, or gs://BUCKET/FOLDER."
)
WEIGHT = flags.DEFINE_float("weight", None, "Factor of the energy; default: 3000.")
ITERATIONS = flags.DEFINE_integer("iterations", None, "Number of steps of the dynamics; default: 20.")
SIZE = flags.DEFINE_float("size", None, "Size of a step, between 0 and 1; default: 0.2.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the noise.", lower_bound=0, upper_bound=2**32 - 1)
STEPS = flags.DEFINE_integer("steps", None, "Solver steps; default: the config's.")
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; 1 disables it.")
flags.mark_flags_as_required(["prompt", "energy", "out"])


def main() -> None:
  from stale_jax.evaluation.rewards import imported_function
  from stale_jax.files import at, make_folder
  from stale_jax.guidance_by_energy import check_guides, guide_movies
  from stale_jax.media import write_page
  from stale_jax.pipeline import load

  out = at(OUT.value)
  sys.path.insert(0, os.getcwd())  # The module of an energy may lie there.
  energy = imported_function("energy", ENERGY.value)
  model = load(WORKDIR.value)
  check_guides(model)
  dynamics = {"weight": WEIGHT.value, "iterations": ITERATIONS.value, "size": SIZE.value}
  how = {"steps": STEPS.value, "guidance": GUIDANCE.value}
  with Stage("guiding", note="compiling takes some minutes the first time"):
    movies, before, guided = guide_movies(model, PROMPT.value, SEED.value, energy, dynamics, **how)
  make_folder(out)
  entries = [one.page_entry(one.save(out)) for pair in zip(movies, before, strict=True) for one in pair]
  command = shlex.join(["python", "-m", "experiments.guide", *sys.argv[1:]])
  lead = "Each movie of low energy, and the movie from which it began."
  write_page(out / "index.html", entries, [], "", command, lead=lead)
  first, last = guided.energies[0].mean(), guided.energies[-1].mean()
  print(f"mean energy: {first:.3g} at the beginning, {last:.3g} at the end: {out / 'index.html'}")


if __name__ == "__main__":
  run(main)
