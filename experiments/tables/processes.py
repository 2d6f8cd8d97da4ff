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
  # The logarithm of noise per data is spread in training as the flows' is, about 1.5 with deviation 1.5.
  "vp": {
    "process": {"name": "vp"},
    "times": {"name": "logit_normal", "mean": -1.8, "std": 1.7},
  },
  # Its own grid of times, which is Karras's.
  "edm": {
    "process": {"name": "edm"},
    "times": {"name": "logit_normal", "mean": -0.3, "std": 0.75},
    "sampling": {"solver": "euler", "steps": 20, "guidance": 4.0, "shift": 1.0, "batch": 64},
  },
}
