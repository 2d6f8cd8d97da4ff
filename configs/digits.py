"""Five-sense movies of handwritten digits: the model that ships with the repository.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits

Hardware: 2 CPU cores. Time: 2.5 steps a second when they have nothing else to do, an hour.
Result (experiments.evaluate --suite=captions), guided at all times: digit .88, colour 1.00, direction 1.00,
speed .95, senses .94, Fréchet distance 54 (mean of three seeds of the noise). The shipped weights are those
of configs/digits_more.py, which goes on from here.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.seed = 0
  config.senses = ("sight", "sound", "touch", "smell", "taste")
  config.source = {"name": "digits", "canvas": 16, "frames": 8, "patch": 4, "leak": 0.0}
  config.process = {"name": "uniform_flow"}
  # Most of a clip is decided near the noise: look there.
  config.times = {"name": "logit_normal", "mean": -1.5, "std": 1.5}
  config.model = {
    "width": 160,
    "side_width": 32,
    "text_width": 96,
    "condition_width": 128,
    "depth": 6,
    "heads": 4,
    "text_length": 48,
    # Two forms of attention, and blocks run round in turns: off.
    "forms": "none",
    "turns": 0,
    "merge": False,
    "dtype": "float32",
  }
  # The other senses follow from the caption and the picture: a fifth of the weight serves them.
  config.objective = {
    "name": "denoising",
    "weights": {"sound": 0.2, "touch": 0.2, "smell": 0.1, "taste": 0.1},
  }
  # Off: the difference of Gaussians, noisier inputs and dropped tokens, slightly wrong captions, clips that
  # are to be continued from first frames that are given.
  config.dog = {"weight": 0.0, "bands": 3}
  config.messup = {"noise": 0.0, "drop": 0.0}
  config.corruption = {"captions": 0.0, "embedding": 0.0}
  config.first = {"share": 0.0, "frames": 1, "noise": 0.1}
  config.optimizer = {
    "name": "muon",
    "schedule": "cosine",
    "matrix_learning_rate": 0.02,
    "learning_rate": 2e-3,
    "warmup": 200,
    "b2": 0.99,
    "weight_decay": 0.01,
  }
  # With 32 snapshots, experiments.excavate makes an average of any length of them afterwards.
  config.ema = {"decay": 0.999, "snapshots": 0}
  config.mesh = {"data": -1, "fsdp": 1}
  config.training = {
    "steps": 9000,
    "batch": 64,
    "accumulate": 1,
    "caption_dropout": 0.1,
    "init_from": "",
    "log_every": 20,
    "checkpoint_every": 500,
    "keep": 3,
    "processes": 1,
    "silence": 100.0,
  }
  # Guided while the digit is decided: before and after it makes clips less like real ones.
  config.sampling = {
    "solver": "euler",
    "steps": 20,
    "guidance": 4.0,
    "interval": (0.5, 0.95),
    "shift": 6.0,
  }
  return config
