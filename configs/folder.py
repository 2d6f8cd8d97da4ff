"""Real videos from a folder: a small model of what is seen and heard, captioned by the files beside them.

python -m experiments.train --config=configs/folder.py --config.source.path=DIR --workdir=runs/folder

Hardware: 2 CPU cores. Time: 1.4 steps a second on one core that had much other work.
Result: none stated; it depends on the folder. It shows that a folder trains, and is no model to admire.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.seed = 0
  config.senses = ("sight", "sound")
  # One second of each video, anew every time. Other fields: stale_jax/data/sources/folder.py and videos.py.
  config.source = {
    "name": "folder",
    "path": "",
    "held_out": 0.1,
    "frames": 8,
    "height": 32,
    "width": 32,
    # Several sizes, such as ((8, 32, 32), (8, 24, 40), (8, 40, 24)), in place of the three above; and the
    # share of the batches that are of single frames.
    "buckets": (),
    "images": 0.0,
    "rate": 8.0,
    # Several, such as (4.0, 8.0): one is drawn for each clip.
    "rates": (),
    "patch": (4, 8, 8),
  }
  config.process = {"name": "uniform_flow"}
  config.times = {"name": "logit_normal", "mean": -1.5, "std": 1.5}
  config.model = {
    "width": 128,
    "side_width": 32,
    "text_width": 64,
    "condition_width": 96,
    "depth": 4,
    "heads": 4,
    "text_length": 96,
    "dtype": "float32",
    # ("fps", "motion"): the model is told the frame rate and how much moves (OpenCV measures it), and can be
    # asked for them: generate --fps --motion.
    "micro": (),
  }
  # Half of the clips are to be continued from a picture: generate --first_frame.
  config.first = {"share": 0.5, "frames": 1, "noise": 0.1}
  config.objective = {"name": "denoising", "weights": {"sound": 0.2}}
  config.optimizer = {
    "name": "muon",
    "schedule": "cosine",
    "matrix_learning_rate": 0.02,
    "learning_rate": 2e-3,
    "warmup": 100,
    "b2": 0.99,
    "weight_decay": 0.01,
  }
  config.ema = {"decay": 0.999}
  config.mesh = {"data": -1, "fsdp": 1}
  config.training = {
    "steps": 2000,
    "batch": 16,
    "accumulate": 1,
    "caption_dropout": 0.1,
    "init_from": "",
    "log_every": 20,
    "checkpoint_every": 500,
    "keep": 2,
  }
  config.sampling = {"solver": "euler", "steps": 20, "guidance": 2.0, "shift": 6.0, "batch": 16}
  return config
