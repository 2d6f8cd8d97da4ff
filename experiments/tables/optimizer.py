"""Does it pay to orthogonalise the updates of the blocks' matrices (Muon)?"""

BASE = "configs/digits_micro.py"
SUITES = ("denoising", "captions")
ROWS = {
  "adamw": {
    "optimizer": {"name": "adamw", "learning_rate": 2e-3, "warmup": 200, "b2": 0.99, "weight_decay": 0.01}
  },
  "muon": {},
}
