"""Trains a config, or continues a run that was interrupted.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits [--config.SECTION.KEY=VALUE]
  [--profile=START:STOP]

For training in N processes, start the program N times with --config.training.processes=N. The processes find
each other through the environment variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID; a
TPU pod needs none of them.
Exit codes: 0 finished, or saved after SIGTERM; 2 wrong usage; 3 another process was lost: restart all.
"""

from absl import flags

from experiments.config_flag import define_experiment
from experiments.main import run

CONFIG = define_experiment()
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: a path, or gs://BUCKET/FOLDER.")
PROFILE = flags.DEFINE_string(
  "profile", None, "START:STOP, the steps to trace into WORKDIR/profile, for XProf."
)
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
