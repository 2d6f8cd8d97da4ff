"""Do slightly wrong captions or noise on their embedding improve a model, and when do they harm it?"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")

ROWS = {
  "none": {},
  "captions .05": {"corruption.captions": 0.05},
  "captions .2": {"corruption.captions": 0.2},
  "embedding 1": {"corruption.embedding": 1.0},
  # Three times the square root of the width: the caption is destroyed.
  "embedding 24": {"corruption.embedding": 24.0},
}
