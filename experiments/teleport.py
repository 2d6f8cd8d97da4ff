"""Measures mean and covariance of a model's training clips, so that samplers skip the first solver steps.

python -m experiments.teleport --workdir=runs/digits_gaussian --out=teleport.safetensors
python -m experiments.generate --workdir=runs/digits_gaussian --teleport=teleport.safetensors \\
  --prompt="a red seven moves left quickly" --out=movies

For models whose noise is Gaussian or reflected (docs/teleport.md).
"""

from absl import flags

from experiments.main import run
from experiments.model_flag import define_model

WORKDIR = define_model()
OUT = flags.DEFINE_string("out", None, "File to write: a path, or gs://BUCKET/FILE.")
CLIPS = flags.DEFINE_integer("clips", None, "Number of training clips to measure; default: 4096.")
RANK = flags.DEFINE_integer("rank", None, "Number of principal components to keep; default: 128.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the choice of clips.", lower_bound=0)
flags.mark_flags_as_required(["out"])


def main() -> None:
  from stale_jax.construct import construct
  from stale_jax.files import at
  from stale_jax.pipeline import load
  from stale_jax.teleport import Measurement, measure, save_moments

  out = at(OUT.value)
  given = {name: x for name, x in (("clips", CLIPS.value), ("rank", RANK.value)) if x is not None}
  how = construct(Measurement, {**given, "seed": SEED.value}, "teleport")
  model = load(WORKDIR.value)
  moments = measure(model, how)
  save_moments(out, moments, model, how)
  print(f"{how.clips} clips, {len(moments.variances)} components: {out}")


if __name__ == "__main__":
  run(main)
