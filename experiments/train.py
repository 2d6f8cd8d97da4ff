"""Trains a config, or goes on training it.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits [--config.a.b=value]
"""

from absl import flags
from ml_collections import config_flags

from experiments.main import run

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment.", lock_config=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
flags.mark_flags_as_required(["config", "workdir"])


def main() -> None:
  from stale_jax.training import train

  train(CONFIG.value.to_dict(), WORKDIR.value)


if __name__ == "__main__":
  run(main)
