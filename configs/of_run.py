"""The config of a run again, from its folder's config.json (or any file like it).

python -m experiments.train --config=configs/of_run.py:runs/digits/config.json --workdir=runs/again
"""

import json
from pathlib import Path

from ml_collections import ConfigDict


def get_config(path: str) -> ConfigDict:
  return ConfigDict(json.loads(Path(path).read_text()))
