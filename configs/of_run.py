"""The config of an earlier run, from the config.json in its folder (or a file of the same form).

python -m experiments.train --config=configs/of_run.py:runs/digits/config.json --workdir=runs/again
"""

from pathlib import Path

from ml_collections import ConfigDict

from stale_jax.checkpoints.config_file import read_config


def get_config(path: str) -> ConfigDict:
  return ConfigDict(read_config(Path(path)))
