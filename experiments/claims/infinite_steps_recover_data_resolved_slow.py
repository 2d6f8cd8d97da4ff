"""With the exact score, samples tend to the data as steps grow: resolved below the sampling floor.

`infinite_steps_recover_data` compares 100,000 samples with its bars. The Kolmogorov-Smirnov (KS) distance of
100,000 exact samples is about .003, too near the bars of .006 for a result that does not depend on the seed.
This claim has the same mixture, solvers, steps and bars, and a smaller sampling error. The ODEs start from
200,000 stratified draws of the prior, one in each of as many equal intervals. The exact ODE maps the line
monotonically, which leaves a sampling error of about 1 / 200,000. Ancestral steps draw fresh noise: they make
1,000,000 samples, whose KS floor is about .0009. The value is the largest KS distance divided by its bar;
nothing is subtracted from it. The KS distance of 1,000,000 exact samples is reported.
"""

STRATIFIED, ANCESTRAL, CHUNK = 200_000, 1_000_000, 100_000


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp
  import numpy as np

  from experiments.claims._infinite_steps import measured, result
  from stale_jax.clip import Context
  from stale_jax.processes import grid
  from stale_jax.sampling import solve
  from stale_jax.testing.densities import FoldedMixture

  mixture, rng = FoldedMixture(), np.random.default_rng(seed)
  context = Context(text=jnp.zeros((1, 1), jnp.int32))
  cells = np.linspace(0, 1, 200_001)
  cdf = mixture.cdf(cells)

  def distance(u):
    """KS distance of `u` to the mixture, whose CDF is interpolated to about 1e-9."""
    u = np.sort(u)
    want, ranks = np.interp(u, cells, cdf), np.arange(len(u) + 1) / len(u)
    return float(max(np.max(want - ranks[:-1]), np.max(ranks[1:] - want)))

  def ks(process, solver, steps):
    times = jnp.broadcast_to(grid(steps)[:, None, None], (steps + 1, 1, 1))
    denoiser = mixture.denoiser(process)

    @jax.jit
    def run(x, key):
      return solve(process, denoiser, {"a": x}, times, context, key[None], solver)["a"].ravel()

    count = ANCESTRAL if solver == "ancestral" else STRATIFIED
    uniform = rng.uniform(size=count)
    if solver != "ancestral":
      uniform = (np.arange(count) + uniform) / count
    starts = (2 * uniform - 1).reshape(-1, 1, 1, CHUNK)  # The prior of both processes: U[-1, 1].
    keys = jax.random.split(jax.random.key(seed), len(starts))
    x = np.concatenate([run(jnp.asarray(start), key) for start, key in zip(starts, keys, strict=True)])
    found = distance((x.astype(np.float64) + 1) / 2)
    print(f"{type(process).__name__:12} {solver:10} {steps:4} steps  KS {found:.5f}", flush=True)
    return found

  table = measured(ks)

  floor = distance(np.interp(rng.uniform(size=ANCESTRAL), cdf, cells))
  print(f"exact samples  KS {floor:.5f}")
  return result(table, floor)
