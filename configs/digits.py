"""Five-sense movies of handwritten digits: the model that ships with the repository.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits

Hardware: 2 CPU cores. Time: 1.2 steps a second when they have nothing else to do, 70 minutes.
Result (experiments.evaluate --suite=captions, three seeds of the noise): digit .98, colour and direction
1.00, speed .995, senses .98, Fréchet distance 17.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.seed = 0
  config.senses = ("sight", "sound", "touch", "smell", "taste")
  config.source = {"name": "digits", "canvas": 16, "frames": 8, "patch": 1, "leak": 0.0}
  config.process = {"name": "uniform_flow"}
  # Most of a clip is decided near the noise: look there. Every frame is at a time of its own.
  config.times = {"name": "logit_normal", "mean": -1.5, "std": 1.5, "independent": True}
  config.model = {
    "width": 128,
    "side_width": 32,
    "text_width": 96,
    "condition_width": 128,
    "depth": 4,
    "heads": 4,
    "text_length": 48,
    "causal": True,  # No frame sees a later one: movies of any length.
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
    "steps": 5000,
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
  # Two frames at a time: one by one they move less and less. Frames that are never forgotten keep the digit.
  # No clip of training changes its caption: when the prompt changes, the movie begins anew.
  config.rollout = {"chunk": 2, "sinks": 2, "on_change": "cut"}
  # Guided while the digit is decided: before and after it makes clips less like real ones.
  config.sampling = {
    "solver": "euler",
    "steps": 20,
    "guidance": 4.0,
    "interval": (0.5, 0.95),
    "shift": 6.0,
  }
  return config
