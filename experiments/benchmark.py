"""Times a config on the devices of this machine. Each line of stdout is the JSON object of a measurement.

python -m experiments.benchmark --suite=train --config=configs/stale_1b.py:480p [--peer=diffusers]
python -m experiments.benchmark --suite=rollout --config=configs/stale_1b_causal.py [--json=FILE]

Suites:
  start    seconds from the command to the end of the first training step, in new processes: with an empty
           compilation cache ("cold") and with a full one ("warm")
  train    a training step and a forward pass
  sample   a clip, all frames together
  rollout  the chunks of a causal rollout
  loader   reading batches on the host
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments.config_flag import define_experiment
from experiments.main import run
from stale_jax.errors import UserError
from stale_jax.files import check_on_disk, write_whole
from stale_jax.progress import Stage

SUITES = ("start", "train", "sample", "rollout", "loader")
PEERS = ("diffusers",)

CONFIG = define_experiment()
SUITE = flags.DEFINE_list("suite", None, f"One or more of {', '.join(SUITES)}.")
PEER = flags.DEFINE_enum(
  "peer",
  None,
  PEERS,
  "With the suite train: also times the transformer of Wan 2.1 1.3B in PyTorch, on a GPU.",
)
JSON = flags.DEFINE_string("json", None, "File to write the measurements to, as one JSON array.")
flags.mark_flags_as_required(["config", "suite"])


def main() -> None:
  if unknown := [name for name in SUITE.value if name not in SUITES]:
    raise UserError(f"unknown suite {unknown[0]!r}: choose {', '.join(SUITES)}.")
  if PEER.value and "train" not in SUITE.value:
    raise UserError("--peer is compared with the suite train: add it to --suite.")
  check_on_disk("--", json=JSON.value)
  if JSON.value is not None and not Path(JSON.value).absolute().parent.is_dir():
    raise UserError(f"--json={JSON.value!r}: there is no folder {Path(JSON.value).parent}.")
  from stale_jax.benchmark import machine

  common = {"config": config_flags.get_config_filename(flags.FLAGS["config"]), **machine()}
  records = []
  for record in _records():
    records.append({**record, **common})
    print(json.dumps(records[-1]), flush=True)
    if JSON.value:  # After each, so that a time limit loses none.
      write_whole(Path(JSON.value), json.dumps(records, indent=1) + "\n")


def _records() -> Iterator[dict]:
  from stale_jax.benchmark import SUITES as MEASURES
  from stale_jax.benchmark.measurement import product_flops

  product = None
  if {"train", "sample"} & {*SUITE.value}:
    with Stage("measuring a matrix product"):
      product = product_flops()
    yield {"suite": "machine", "name": "matrix product", "tflops_per_device": product / 1e12}
  for name in SUITE.value:
    with Stage(f"measuring {name}"):
      if name == "start":
        yield from _starts()
        continue
      for measurement in MEASURES[name](CONFIG.value.to_dict()):
        yield measurement.record(product)
  if PEER.value:
    from experiments import benchmark_peer

    with Stage(f"measuring {PEER.value}"):
      for measurement in benchmark_peer.measurements():
        yield measurement.record(product)


def _starts() -> Iterator[dict]:
  """Times two runs of one step by `experiments.train`, the second with the compilation cache of the first."""
  from stale_jax.benchmark import Measurement

  with tempfile.TemporaryDirectory() as folder:
    for name in ("cold", "warm"):
      command = [sys.executable, "-m", "experiments.train", *_config_arguments(), "--config.training.steps=1"]
      command += ["--config.training.log_every=1", f"--workdir={folder}/{name}"]
      began = time.perf_counter()
      done = subprocess.run(
        command,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": f"{folder}/cache"},
        capture_output=True,
        text=True,
      )
      seconds = time.perf_counter() - began
      if done.returncode:
        raise UserError(f"training failed: {done.stderr.strip().splitlines()[-1]}")
      yield Measurement(suite="start", name=name, seconds=[seconds]).record(None)


def _config_arguments() -> list[str]:
  """The arguments of this program that state the config."""
  arguments = iter(sys.argv[1:])
  found = []
  for argument in arguments:
    if argument.lstrip("-").startswith("config"):
      found.append(argument)
      if "=" not in argument:
        found.append(next(arguments))
  return found


if __name__ == "__main__":
  run(main)
