"""Checks claims: prints one JSON line per claim, and exits with 0 if and only if all of them hold.

python -m experiments.reproduce --list
python -m experiments.reproduce --claim=prior_is_uniform [--seed=1] [--results=docs/results]

A claim is a file of experiments/claims. Its docstring states the claim, and its `measure(seed)` returns a
dictionary with at least value, bar and holds. --claim may be repeated: claims of one command share the models
that they train.
"""

import datetime
import json
import platform
import time
from pathlib import Path

from absl import flags

from experiments import claims
from experiments.checkout import commit
from experiments.main import run

LIST = flags.DEFINE_boolean("list", False, "Lists the claims and exits.")
CLAIM = flags.DEFINE_multi_string("claim", [], "Name of a claim to check; may be repeated.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of everything random.", lower_bound=0, upper_bound=10**6)
RESULTS = flags.DEFINE_string(
  "results", None, "Folder (docs/results) in which to record each result as CLAIM.json."
)


def main() -> int:
  from stale_jax.construct import nearest
  from stale_jax.errors import UserError
  from stale_jax.files import check_on_disk

  names = claims.names()
  if LIST.value:
    for name in names:
      print(f"{name:34} {claims.sentence(name)}")
    return 0
  if not CLAIM.value:
    raise UserError("give --claim=NAME, or --list for the names.")
  for name in CLAIM.value:
    if name not in names:
      raise UserError(f"unknown claim {name!r}: {nearest(name, names)}")
  check_on_disk("--", results=RESULTS.value)
  if RESULTS.value is not None and not Path(RESULTS.value).is_dir():
    raise UserError(f"--results={RESULTS.value!r} is not a folder.")
  return 0 if all([_check(name) for name in CLAIM.value]) else 1


def _check(name: str) -> bool:
  """Measures one claim, prints its JSON line, records it under --results; returns whether it holds."""
  import jax

  from stale_jax.files import write_whole

  measured_at, began = commit(), time.monotonic()
  measured = claims.module(name).measure(SEED.value)
  seconds = time.monotonic() - began
  machine = f"{platform.machine()} {platform.system()}, {jax.devices()[0].device_kind}, jax {jax.__version__}"
  result = {"claim": name, **measured, "seed": SEED.value, "machine": machine}
  if RESULTS.value is not None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    record = {**result, "seconds": round(seconds, 1), "date": today, "commit": measured_at}
    write_whole(Path(RESULTS.value) / f"{name}.json", json.dumps(record, indent=1) + "\n")
  print(json.dumps(result))
  return bool(result["holds"])


if __name__ == "__main__":
  run(main)
