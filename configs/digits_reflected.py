"""The digits model's data, network and budget under reflected diffusion instead of a flow.

python -m experiments.train --config=configs/digits_reflected.py --workdir=runs/digits_reflected

Training draws large sigmas more often than small ones: with a uniform distribution of log sigma, the identity
of the digit is learnt still later.

Hardware: 2 CPU cores. Time: as configs/digits.py. Result: it has not been run to the end. An earlier network,
with tokens of four frames, had after 1,500 steps (in brackets: the flow after as many steps): digit .20
(.35), colour 1.00 (1.00), direction 1.00 (1.00), speed .93 (.89), senses .64 (.73).
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
  config = digits.get_config()
  config.process = {"name": "reflected", "sigma_min": 0.01, "sigma_max": 1.6}
  config.times = {"name": "logit_normal", "mean": -1.2, "std": 0.9}
  config.sampling = {"solver": "ancestral", "steps": 50, "guidance": 4.0, "shift": 1.0}
  return config
