"""How should the learning rate decay?"""

BASE = "configs/digits_micro.py"
SUITES = ("denoising", "captions")
ROWS = {name: {"optimizer.schedule": name} for name in ("cosine", "constant", "arctangent")}
