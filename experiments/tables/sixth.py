"""Can a sixth sense be learnt like the others, and what does it cost them?

Balance, where the digit is, follows from sight: it agrees where it is within half a pixel of it.
"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")

ROWS = {
  "none": {},
  "balance": {"senses": ["sight", "touch", "balance"], "objective.weights": {"touch": 0.2, "balance": 0.2}},
}
