"""Trains the semantic motion predictor, which makes the transitions of stories, and writes its weights.

python -m experiments.motion --out=stale_jax/weights/motion.safetensors

Hardware: one CPU core. Time: two minutes of CPU time.
"""

from absl import flags

from experiments.main import run
from stale_jax.progress import Stage

OUT = flags.DEFINE_string("out", None, "Weights file to write.", required=True)
STEPS = flags.DEFINE_integer("steps", 1500, "Training steps.", lower_bound=2)
DEPTH = flags.DEFINE_integer("depth", 4, "Number of layers.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of everything random.", lower_bound=0, upper_bound=10**6)


def main() -> None:
  from stale_jax.files import at
  from stale_jax.training.motion import save_motion, train_motion

  out = at(OUT.value)

  def log(step, loss):
    print(f"step {step} of {STEPS.value}, mean squared error {loss:.5f}", flush=True)

  with Stage("training the motion predictor", STEPS.value, "steps", repeats=False):
    model = train_motion(STEPS.value, SEED.value, depth=DEPTH.value, log=log)
  save_motion(out, model)


if __name__ == "__main__":
  run(main)
