"""Checks a claim. The last line of stdout is one JSON object; exit code 0 if and only if it holds.

python -m experiments.reproduce --list | --claim=NAME [--seed=N]

A claim is a file of experiments/claims: its docstring says what is claimed, its
`measure(seed)` returns at least value, bar and holds.
"""

import importlib
import json
import pkgutil
import platform

from absl import flags

from experiments import claims
from experiments.main import run

LIST = flags.DEFINE_boolean("list", False, "Names the claims.")
CLAIM = flags.DEFINE_string("claim", None, "Which to check.")
SEED = flags.DEFINE_integer("seed", 0, "Of everything drawn.", lower_bound=0, upper_bound=10**6)


def main() -> int:
  from stale_jax.construct import nearest
  from stale_jax.errors import UserError

  found = pkgutil.iter_modules(claims.__path__)
  names = sorted(module.name for module in found if not module.name.startswith("_"))
  if LIST.value:
    for name in names:
      print(f"{name:32}{_module(name).__doc__.splitlines()[0]}")
    return 0
  if CLAIM.value not in names:
    raise UserError(f"unknown claim {CLAIM.value!r}: {nearest(CLAIM.value or '', names)}")
  result = _module(CLAIM.value).measure(SEED.value)
  import jax

  machine = f"{platform.machine()} {platform.system()}, {jax.devices()[0].device_kind}, jax {jax.__version__}"
  print(json.dumps({"claim": CLAIM.value, **result, "seed": SEED.value, "machine": machine}))
  return 0 if result["holds"] else 1


def _module(name: str):
  return importlib.import_module(f"experiments.claims.{name}")


if __name__ == "__main__":
  run(main)
