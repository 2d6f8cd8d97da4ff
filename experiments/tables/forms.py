"""Do two forms, along time and over space, make better movies than joint attention?

A token is one frame here, so that there are four times to look along and nine places to look over.
A forward pass's matrix products come to (millions of FLOPs a clip, counted by hand): joint 51.0,
two forms 61.4 in training and 49.2 in the hard mode; joint attention at width 112 comes to 63.9.
"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")

ROWS = {
  "joint": {"source.patch": 1},
  "joint, FLOPs of two forms": {"source.patch": 1, "model.width": 112},
  "two forms": {"source.patch": 1, "model.forms": "dense"},
  # To be measured with `experiments.evaluate --forms=hard` too.
  "two forms, concrete": {"source.patch": 1, "model.forms": "concrete"},
}
