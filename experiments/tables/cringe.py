"""Does it matter which token cr-hinge is read off, and does the loss help the movies at all?

A fixed vector is a fixed vector: 😂, 🐱 and 👻 should be equal within their error bars, and only
"none" (the scores are read off the mean of the senses' tokens, after the last block) could differ.
The first row has the token and no loss: its scores are those of an untrained head.
"""

BASE = "configs/digits_micro.py"
SUITES = ("labels", "captions")
ROWS = {
  "without the loss": {"cringe": {"weight": 0.0, "emoji": "😂"}},
  "😂": {"cringe": {"weight": 0.1, "emoji": "😂"}},
  "🐱": {"cringe": {"weight": 0.1, "emoji": "🐱"}},
  "👻": {"cringe": {"weight": 0.1, "emoji": "👻"}},
  "none": {"cringe": {"weight": 0.1, "emoji": ""}},
}
