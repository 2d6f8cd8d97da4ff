"""Does the difference-of-Gaussians objective make better movies, and at which weight?"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")
ROWS = {
  "none": {},
  "weight .1": {"dog": {"weight": 0.1}},
  "weight .3": {"dog": {"weight": 0.3}},
  "weight 1": {"dog": {"weight": 1.0}},
}
