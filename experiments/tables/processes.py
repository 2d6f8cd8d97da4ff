"""Which process learns most at equal cost?"""

BASE = "configs/digits_micro.py"
SUITES = ("captions",)  # A process's loss is its own, and says nothing beside another's.
ROWS = {
  "uniform_flow": {},
  # With its own noise density and sampler, as in configs/digits_reflected.py.
  "reflected": {
    "process": {"name": "reflected", "sigma_min": 0.01, "sigma_max": 1.6},
    "times": {"name": "logit_normal", "mean": -1.2, "std": 0.9},
    "sampling": {"solver": "ancestral", "steps": 50, "guidance": 4.0, "shift": 1.0, "batch": 64},
  },
  "gaussian_flow": {"process": {"name": "gaussian_flow"}},
}
