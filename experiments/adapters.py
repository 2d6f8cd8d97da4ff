"""Merges adapters into the weights of a model, and writes them as a weights file.

python -m experiments.adapters --workdir=digits --merge=runs/hats --merge=green.safetensors:0.5 \\
  --out=merged.safetensors

The result is a model like any other: it needs neither the adapters nor the model on which they were trained.
"""

from absl import flags

from experiments.main import run
from experiments.model_flag import define_adapters, define_model

WORKDIR = define_model()
MERGE = define_adapters("merge")
OUT = flags.DEFINE_string("out", None, "Weights file (.safetensors) to write.")
flags.mark_flags_as_required(["merge", "out"])


def main() -> None:
  import jax.numpy as jnp

  from stale_jax.checkpoints.load import model_at
  from stale_jax.checkpoints.weights import save_weights
  from stale_jax.files import at, make_folder
  from stale_jax.pipeline import load

  out = at(OUT.value)
  model = load(WORKDIR.value, adapters=MERGE.value)
  _, config = model_at(model.name)
  make_folder(out.parent)
  save_weights(out, model.params, config, jnp.float32)
  print(f"wrote {out}: {model.name} with {model.chosen['adapters']}.")


if __name__ == "__main__":
  run(main)
