"""Plans a run on TPUs or GPUs, without any: memory, step time, price. The last line of stdout is JSON.

python -m experiments.plan --config=configs/stale_1b.py:720p --topology=v5e:16x16 [--num_slices=2] [--fit]
python -m experiments.plan --config=configs/stale_1b.py:480p --topology=h100:8 [--num_slices=4]
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
from stale_jax.progress import Stage

hide_tpu()  # Before the flags are parsed, because a config imports JAX.
CONFIG = define_experiment()
TOPOLOGY = flags.DEFINE_string(
  "topology", None, "Slice of TPUs, as v5e:16x16, or machine with GPUs, as h100:8."
)
SLICES = flags.DEFINE_integer("num_slices", 1, "Number of such slices or machines.", lower_bound=1)
FIT = flags.DEFINE_boolean("fit", False, "Searches for the fastest batch, remat and mesh that fit.")
SAMPLER = flags.DEFINE_boolean("sampler", True, "Whether to compile the sampler too.")
PRICE = flags.DEFINE_float(
  "price_per_hour", None, "Price of a chip in US dollars per hour; default: its list price."
)
HTML = flags.DEFINE_string("html", None, "HTML page to write.")
JSON = flags.DEFINE_string("json", None, "File to write the JSON object to, besides stdout.")
flags.mark_flags_as_required(["config", "topology"])


def main() -> None:
  if PRICE.value is not None and not PRICE.value > 0:
    raise UserError(f"--price_per_hour={PRICE.value}: give a positive number.")
  from stale_jax.files import at, write_whole

  html, json_file = (at(flag.value) if flag.value else None for flag in (HTML, JSON))
  without_tpu(TOPOLOGY.value)
  from stale_jax.media import write_plan
  from stale_jax.planning.fit import curve, fit
  from stale_jax.planning.plan import plan
  from stale_jax.planning.text import lines

  config, price = CONFIG.value.to_dict(), PRICE.value
  options = {"price": price, "sampler": SAMPLER.value}
  with Stage(f"compiling for {TOPOLOGY.value}"):
    if FIT.value:
      made, chosen = fit(config, TOPOLOGY.value, SLICES.value, say=_say, **options)
    else:
      made, chosen = plan(config, TOPOLOGY.value, SLICES.value, **options), {}
  report = {
    "config": config_flags.get_config_filename(flags.FLAGS["config"]),
    **made.json(),
    "chosen": chosen,
  }
  for line in lines(made):
    print(line)
  if json_file:
    write_whole(json_file, json.dumps(report, indent=1) + "\n")
  if html:
    command = "python -m experiments.plan " + shlex.join(sys.argv[1:])
    write_plan(html, report, curve(made), command)
  print(json.dumps(report))


def _say(line: str) -> None:
  print(line, flush=True)


if __name__ == "__main__":
  run(main)
