"""Does it matter which token cr-hinge is read off, and does the loss help the movies at all?

A fixed vector is a fixed vector: 😂, 🐱 and 👻 should be equal within their error bars, and only
"no token" (the head reads the mean of the senses' tokens, after the last block) could differ.
"""

BASE = "configs/digits_micro.py"
SUITES = ("captions", "denoising")
ROWS = {
  "no loss": {},
  "😂": {"cringe": {"weight": 0.1, "emoji": "😂"}},
  "🐱": {"cringe": {"weight": 0.1, "emoji": "🐱"}},
  "👻": {"cringe": {"weight": 0.1, "emoji": "👻"}},
  "no token": {"cringe": {"weight": 0.1, "emoji": ""}},
}
