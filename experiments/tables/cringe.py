"""Does it matter which token cr-hinge reads its scores from, and does the loss help the movies at all?

The token is a fixed vector, so 😂, 🐱 and 👻 should be equal within their error bars. Only "none", where the
scores are read from the mean of the senses' tokens after the last block, could differ. The first row has the
token but no loss: its scores are those of an untrained head.
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
