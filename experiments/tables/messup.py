"""Does messing up in training (noisier inputs, dropped tokens) make up for a sampler's own mistakes?"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")

ROWS = {
  "none": {},
  "noise .05": {"messup.noise": 0.05},
  "noise .1": {"messup.noise": 0.1},
  "noise .2": {"messup.noise": 0.2},
  "drop .05": {"messup.drop": 0.05},
  "drop .1": {"messup.drop": 0.1},
  "drop .3": {"messup.drop": 0.3},
  "noise .1, drop .1": {"messup.noise": 0.1, "messup.drop": 0.1},
}
