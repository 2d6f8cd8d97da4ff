"""Do slightly wrong captions, or noise on their embedding, make a better model, and when a worse one?"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")

ROWS = {
  "none": {},
  "captions .05": {"corruption.captions": 0.05},
  "captions .2": {"corruption.captions": 0.2},
  "embedding 1": {"corruption.embedding": 1.0},
  # Three times the root of its width: nothing of a caption is left.
  "embedding 24": {"corruption.embedding": 24.0},
}
