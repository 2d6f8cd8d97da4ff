"""Do two forms, along time and over space, make better movies than joint attention?

A token covers one frame, so that each form attends to several tokens: to four times, or to nine places. The
matrix products of a forward pass, in millions of FLOPs per clip, counted by hand: joint attention 51.0, two
forms 61.4 in training and 49.2 in the hard mode, joint attention at width 112 63.9.
"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")

ROWS = {
  "joint": {"source.patch": 1},
  "joint, FLOPs of two forms": {"source.patch": 1, "model.width": 112},
  "two forms": {"source.patch": 1, "model.forms": "dense"},
  # Also measure this row with `experiments.evaluate --forms=hard`.
  "two forms, concrete": {"source.patch": 1, "model.forms": "concrete"},
}
