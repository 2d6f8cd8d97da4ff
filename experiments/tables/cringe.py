"""Does it matter which token cr-hinge is read off, and does the loss help the movies at all?

A fixed vector is a fixed vector: 😂, 🐱 and 👻 should be equal within their error bars, and only
"none" (the head reads the mean of the senses' tokens, after the last block) could differ. The last
row trains without the loss, on the same share of withheld captions.
"""

BASE = "configs/digits_micro.py"

ROWS = {
  "😂": {"cringe": {"weight": 0.1, "emoji": "😂"}},
  "🐱": {"cringe": {"weight": 0.1, "emoji": "🐱"}},
  "👻": {"cringe": {"weight": 0.1, "emoji": "👻"}},
  "none": {"cringe": {"weight": 0.1, "emoji": ""}},
  "without the loss": {},
}
