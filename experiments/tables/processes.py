"""Which process learns most at equal cost?"""

BASE = "configs/digits_micro.py"
SUITES = ("captions",)  # Losses of different processes cannot be compared.
ROWS = {
  "uniform_flow": {},
  # With its own noise density and sampler, as in configs/digits_reflected.py.
  "reflected": {
    "process": {"name": "reflected", "sigma_min": 0.01, "sigma_max": 1.6},
    "times": {"name": "logit_normal", "mean": -1.2, "std": 0.9},
    "sampling": {"solver": "ancestral", "steps": 50, "guidance": 4.0, "shift": 1.0, "batch": 64},
  },
  "gaussian_flow": {"process": {"name": "gaussian_flow"}},
  # In training the logarithm of the noise-to-data ratio is spread as for the flows: mean 1.5, deviation 1.5.
  "vp": {
    "process": {"name": "vp"},
    "times": {"name": "logit_normal", "mean": -1.8, "std": 1.7},
  },
  # Its own time grid, that of Karras et al.
  "edm": {
    "process": {"name": "edm"},
    "times": {"name": "logit_normal", "mean": -0.3, "std": 0.75},
    "sampling": {"solver": "euler", "steps": 20, "guidance": 4.0, "shift": 1.0, "batch": 64},
  },
}
