"""Do two forms, along time and over space, make better movies than joint attention?

A token is one frame here, so that there are four times to look along and nine places to look over.
"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")

ROWS = {
  "joint": {"source.patch": 1},
  "two forms, equal steps": {"source.patch": 1, "model.forms": "dense"},
}
