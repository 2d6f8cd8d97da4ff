"""Does noise on the embedding of captions (CEP) keep a model from copying if there are few clips?"""

BASE = "configs/digits_micro.py"
SUITES = ("captions",)
ROWS = {
  "200 clips": {"source.size": 200},
  "200 clips, embedding 1": {"source.size": 200, "corruption.embedding": 1.0},
}
