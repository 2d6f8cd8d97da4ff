"""With the exact score, samples tend to the data as the number of steps grows, down to the sampling floor.

The data are a mixture of three folded Gaussians, with 100,000 samples per case. The value is the largest
Kolmogorov-Smirnov (KS) distance to the data, divided by its bar. The distances must also fall from 4 to 16 to
256 steps. With 100,000 samples the claim is near its sampling floor, so that its result depends on the seed;
see `infinite_steps_recover_data_resolved_slow`.
"""


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np

  from experiments.claims._infinite_steps import CASES, STEPS, measured, result
  from stale_jax.clip import Context
  from stale_jax.processes import grid
  from stale_jax.sampling import solve
  from stale_jax.testing.densities import FoldedMixture

  mixture, n = FoldedMixture(), 100_000
  context = Context(text=jnp.zeros((1, 1), jnp.int32))

  def ks(process, solver, steps):
    key = jax.random.key(seed)
    times = jnp.broadcast_to(grid(steps)[:, None, None], (steps + 1, 1, 1))
    x = {"a": process.prior(key, (1, 1, n))}
    denoiser = mixture.denoiser(process)
    run = jax.jit(lambda x: solve(process, denoiser, x, times, context, key[None], solver))
    return mixture.ks((np.asarray(run(x)["a"]).ravel() + 1) / 2)

  table = measured(ks)

  cells = np.linspace(0, 1, 200_001)
  uniform = np.random.default_rng(seed).uniform(size=n)
  floor = mixture.ks(np.interp(uniform, mixture.cdf(cells), cells))
  print("KS after steps" + "".join(f"{n:9}" for n in STEPS))
  for case in CASES:
    print(f"{case:14}" + "".join(f"{table[case, n]:9.4f}" for n in STEPS))
  print(f"exact samples  {floor:.4f}")
  return result(table, floor)
