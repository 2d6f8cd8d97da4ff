"""Trains a config, or goes on training it.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits [--config.a.b=value]
  [--profile=START:STOP]

With --config.training.processes=N it is to be started N times, and finds the others by the
environment: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID; on a TPU pod without it.
Exit codes: 0 done, or saved after SIGTERM; 2 misuse; 3 another process is gone: start all again.
"""

from absl import flags

from experiments.config_flag import define_experiment
from experiments.main import run

CONFIG = define_experiment()
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
PROFILE = flags.DEFINE_string("profile", None, "START:STOP, steps to trace into WORKDIR/profile, for XProf.")
flags.mark_flags_as_required(["config", "workdir"])


def main() -> None:
  from stale_jax.hosts import join_processes
  from stale_jax.run import train
  from stale_jax.training.profile import parse_window

  window = parse_window(PROFILE.value) if PROFILE.value is not None else None
  config = CONFIG.value.to_dict()
  with join_processes(config):
    train(config, WORKDIR.value, window)


if __name__ == "__main__":
  run(main)
