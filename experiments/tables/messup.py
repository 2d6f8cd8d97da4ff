"""Does messing up in training (noisier inputs, dropped tokens) make a model robust to a sampler's errors?"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")

ROWS = {
  "none": {},
  "noise .1": {"messup.noise": 0.1},
  "drop .1": {"messup.drop": 0.1},
  "noise .1, drop .1": {"messup.noise": 0.1, "messup.drop": 0.1},
}
