"""Reflected noise ends in the uniform distribution, at the rate that the formula gives.

Let K be the transition kernel of reflected Brownian motion in one coordinate. Its total variation distance to
the uniform distribution, from a corner of the box, is TV(K(.|corner), uniform) = (2 / pi) exp(-pi^2 sigma^2 /
2), to leading order. Value: the greatest relative error of this formula. Bar: .01. In addition, the
Kolmogorov-Smirnov distance to the uniform distribution, of noised clips at time 1 and of samples of the
prior, must not exceed its .1% critical value.
"""


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np
  from scipy.stats import kstest

  from stale_jax.data import Digits
  from stale_jax.processes import Reflected, UniformFlow
  from stale_jax.processes.reflected import kernel

  grid = (np.arange(100_000) + 0.5) / 100_000
  worst = 0.0
  print("sigma   TV measured  TV formula")
  for sigma in (0.5, 0.75, 1.0, 1.25, 1.5):
    density = np.asarray(
      kernel(jnp.asarray(grid, jnp.float32), jnp.float32(0), jnp.float32(sigma)), np.float64
    )
    measured = np.abs(density - 1).mean() / 2
    formula = 2 / np.pi * np.exp(-((np.pi * sigma) ** 2) / 2)
    worst = max(worst, abs(measured / formula - 1))
    print(f"{sigma:5.2f}   {measured:.4e}   {formula:.4e}")

  # Real clips noised to time 1, and samples of the prior, from which sampling starts.
  source = Digits(seed=seed)
  clips = jnp.stack([source[i]["clip"]["sight"] for i in range(32)])
  ends = {}
  for name, process in (("reflected", Reflected()), ("uniform_flow", UniformFlow())):
    key = jax.random.key(seed)
    final = process.corrupt(key, clips, jnp.ones(clips.shape[:2])).x_t
    for what, x in ((name, final), (f"{name} prior", process.prior(key, clips.shape))):
      ends[what] = float(kstest(np.asarray(x, np.float64).ravel(), "uniform", (-1, 2)).statistic)
  # The KS distance of a sample of the uniform distribution exceeds this limit with probability .001.
  limit = 1.95 / np.sqrt(clips.size)
  for what, ks in ends.items():
    print(f"{what:20} KS to uniform {ks:.5f} (limit {limit:.5f}, n = {clips.size})")
  sigma = Reflected().sigma_max
  return {
    "value": worst,
    "bar": 0.01,
    "holds": bool(worst <= 0.01 and max(ends.values()) <= limit),
    "ks": ends,
    "ks_limit": float(limit),
    "tv_of_the_default": float(2 / np.pi * np.exp(-((np.pi * sigma) ** 2) / 2)),
  }
