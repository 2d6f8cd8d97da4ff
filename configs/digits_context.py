"""Digits whose noising depends on their captions (ContextDiff), to make and edit clips of sight.

python -m experiments.train --config=configs/digits_context.py --workdir=runs/digits_context
python -m experiments.edit --workdir=runs/digits_context --input=clip.mp4 --strength=0.8 \\
  --prompt="a red two moves left quickly" --out=edited

Hardware: one CPU core. Time and result: not measured; the claim contextdiff_helps_slow trains a model of this
kind with a program of its own.
"""

from ml_collections import ConfigDict

from configs import digits_micro


def get_config() -> ConfigDict:
  config = digits_micro.get_config()
  config.senses = ("sight",)
  config.model.relation_width = 64
  config.objective.weights = {}
  return config
