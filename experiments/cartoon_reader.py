"""Trains the reader of cartoons, which evaluates generated ones, and writes its weights.

python -m experiments.cartoon_reader --out=stale_jax/weights/cartoon_reader.safetensors

It draws its clips, and goes on where it was interrupted. Hardware: one CPU core.
"""

from absl import flags

from experiments.main import run
from stale_jax.progress import Stage

OUT = flags.DEFINE_string("out", None, "Weights file to write, every 100 steps.", required=True)
WORKDIR = flags.DEFINE_string(
  "workdir", "runs/cartoon_reader", "Folder of the drawn clips (13 GB at the end) and of the checkpoint."
)
STEPS = flags.DEFINE_integer("steps", 6000, "Training steps.", lower_bound=1)


def main() -> None:
  from stale_jax.evaluation.cartoons.fit import Fit
  from stale_jax.evaluation.cartoons.reader import save_reader
  from stale_jax.files import at, check_on_disk, make_folder

  check_on_disk("--", workdir=WORKDIR.value)
  out, folder = at(OUT.value), make_folder(WORKDIR.value)

  def log(step, metrics):
    words = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    print(f"step {step}: {words}", flush=True)

  with Stage("training the reader", STEPS.value, "steps", repeats=False):
    Fit(steps=STEPS.value).run(folder, log, lambda params: save_reader(out, params))


if __name__ == "__main__":
  run(main)
