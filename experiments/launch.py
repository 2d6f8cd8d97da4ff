"""Starts a training run on several hosts: with xpk, as a queued resource, with Slurm, or over ssh.

python -m experiments.launch --run=configs/launch_v5e.py --client=xpk [--dry_run] [--run.slices=2]

Writes a script to --out and runs it; --dry_run prints the script instead. Failed runs are restarted
(run.restarts). xpk, queued and slurm return once the run is submitted, ssh when the run has ended. The last
line of stdout is one JSON object. If the client fails, the program exits with the client's exit code.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from experiments.config_flag import define_config
from experiments.main import run
from stale_jax.construct import check_keys, construct
from stale_jax.errors import UserError


def _complete(config: Mapping[str, Any], overrides: Mapping[str, str]) -> ConfigDict:
  from stale_jax.launching import Run
  from stale_jax.sections import only

  run = only(Run)
  for key in overrides:
    check_keys([key], run.fields(""), "run")
  whole = run.complete(config, "run")
  return ConfigDict({**{key: placeholder(field.type) for key, field in run.missing(whole).items()}, **whole})


RUN = define_config("run", _complete, "Description of the run, a Python file. --run.KEY=VALUE sets a key.")
CLIENT = flags.DEFINE_enum("client", None, ["xpk", "queued", "slurm", "ssh"], "Client that starts the run.")
DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Prints the scripts; writes and runs nothing.")
OUT = flags.DEFINE_string("out", "runs/launch", "Folder to write the scripts to.")
flags.mark_flags_as_required(["run", "client"])


def main() -> int:
  from stale_jax.files import check_on_disk, make_folder, write_whole
  from stale_jax.launching import CLIENTS, Run

  check_on_disk("--", out=OUT.value)
  launch = CLIENTS[CLIENT.value](construct(Run, RUN.value.to_dict(), "run"))
  result = {
    "client": CLIENT.value,
    "processes": launch.processes,
    "commands": launch.commands,
    "submitted": not DRY_RUN.value,
  }
  if DRY_RUN.value:
    for name, text in launch.files.items():
      print(f"# {name}\n{text}")
  else:
    if shutil.which(launch.program) is None:
      raise UserError(f"{launch.program} is not installed: install it, or print the scripts with --dry_run.")
    out = make_folder(OUT.value)
    for name, text in launch.files.items():
      write_whole(out / name, text)
    process = subprocess.Popen(["bash", launch.script], cwd=out)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    if code:
      print(f"error: {launch.program} failed with exit code {code} ({out / launch.script}).", file=sys.stderr)
      return code if code > 0 else 128 - code  # Killed by a signal: the code that a shell returns.
    result["script"] = str(out / launch.script)
  print(json.dumps(result))
  return 0


if __name__ == "__main__":
  run(main)
