"""Plans a run for TPUs without one: memory, time and money. The last line of stdout is one JSON object.

python -m experiments.plan --config=configs/stale_1b.py:720p --topology=v5e:16x16 [--num_slices=2] [--fit]
"""

import json
import shlex
import sys

from absl import flags
from ml_collections import config_flags

from experiments.config_flag import define_experiment
from experiments.main import run
from experiments.tpu import hide_tpu, without_tpu
from stale_jax.errors import UserError

hide_tpu()  # Before the flags are parsed: a config imports JAX.
CONFIG = define_experiment()
TOPOLOGY = flags.DEFINE_string("topology", None, "Of a slice: v5e:16x16, v5p:4x4x8, v6e:16x16, tpu7x:4x4x4.")
SLICES = flags.DEFINE_integer("num_slices", 1, "Slices of that topology.", lower_bound=1)
FIT = flags.DEFINE_boolean("fit", False, "Searches batch, remat and mesh for the fastest that fits.")
SAMPLER = flags.DEFINE_boolean("sampler", True, "Whether to compile the sampler, too.")
PRICE = flags.DEFINE_float("price_per_hour", None, "Of a chip, US dollars; default: its list price.")
HTML = flags.DEFINE_string("html", None, "Writes a page here.")
JSON = flags.DEFINE_string("json", None, "Writes the JSON object here, too.")
flags.mark_flags_as_required(["config", "topology"])


def main() -> None:
  if PRICE.value is not None and not PRICE.value > 0:
    raise UserError(f"--price_per_hour={PRICE.value}: a positive number is needed.")
  without_tpu()
  from pathlib import Path

  from stale_jax.files import write_whole
  from stale_jax.media import write_plan
  from stale_jax.planning.fit import curve, fit
  from stale_jax.planning.plan import plan
  from stale_jax.planning.text import lines

  config, price = CONFIG.value.to_dict(), PRICE.value
  given = {"price": price, "sampler": SAMPLER.value}
  if FIT.value:
    made, chosen = fit(config, TOPOLOGY.value, SLICES.value, say=print, **given)
  else:
    made, chosen = plan(config, TOPOLOGY.value, SLICES.value, **given), {}
  said = {"config": config_flags.get_config_filename(flags.FLAGS["config"]), **made.json(), "chosen": chosen}
  for line in lines(made):
    print(line)
  if JSON.value:
    write_whole(Path(JSON.value), json.dumps(said, indent=1) + "\n")
  if HTML.value:
    command = "python -m experiments.plan " + shlex.join(sys.argv[1:])
    write_plan(Path(HTML.value), said, curve(made), command)
  print(json.dumps(said))


if __name__ == "__main__":
  run(main)
