"""Can a sixth sense be learnt like the others, and what does it cost them?

Balance, the position of the digit, follows from sight; it agrees with sight if it is within half a pixel.
"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")

ROWS = {
  "none": {},
  "balance": {"senses": ["sight", "touch", "balance"], "objective.weights": {"touch": 0.2, "balance": 0.2}},
}
