"""Draws the clips that a model makes of one prompt and seed without and with each of several adapters.

python -m experiments.sheet --workdir=causal --adapters=runs/pan_left --adapters=runs/zoom_in
  --prompt="a red seven moves up slowly" --out=camera.png

Each row is one clip: the first without an adapter, then one for each adapter.
"""

from absl import flags

from experiments.main import run
from experiments.model_flag import define_adapters, define_model

WORKDIR = define_model()
ADAPTERS = define_adapters()
PROMPT = flags.DEFINE_string("prompt", None, "Caption of the clips.", required=True)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the noise.", lower_bound=0)
OUT = flags.DEFINE_string("out", None, "PNG file to write.", required=True)


def main() -> None:
  import numpy as np

  from stale_jax.errors import UserError
  from stale_jax.files import at, make_folder, write_whole
  from stale_jax.media import contact_sheet, png
  from stale_jax.pipeline import load

  out, rows = at(OUT.value), []
  models = [load(WORKDIR.value, adapters=some) for some in ((), *([one] for one in ADAPTERS.value or ()))]
  for model in models:
    if "sight" not in [sense.name for sense in model.system.data.senses]:
      raise UserError(f"{model.name} has no sight, so there is nothing to draw.")
    rows.append(np.asarray(model.sample([PROMPT.value], [SEED.value])["sight"]))
  make_folder(out.parent)
  write_whole(out, png(contact_sheet(np.concatenate(rows)).repeat(4, 0).repeat(4, 1)))
  print(f"wrote {out}.")


if __name__ == "__main__":
  run(main)
