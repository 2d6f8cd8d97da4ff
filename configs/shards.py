"""Curated clips in shards (experiments.curate): the same small model as configs/folder.py.

python -m experiments.train --config=configs/shards.py --config.source.path=DIR --workdir=runs/shards

DIR is the folder of the data set, OUTPUT/clips/1.0.0.
Hardware and time: as configs/folder.py. Result: not stated, since it depends on the videos.
"""

from ml_collections import ConfigDict

from configs import base, folder


def get_config() -> ConfigDict:
  return folder.small(base.get_config("shards", times="logit_normal", optimizer="muon"))
