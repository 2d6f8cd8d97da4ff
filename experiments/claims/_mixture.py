"""Draws of a mixture that is known exactly, and the two textbook ways to step a reflected SDE."""

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax.clip import Context
from stale_jax.evaluation.known import FoldedMixture
from stale_jax.processes import Process, Reflected, grid
from stale_jax.processes.process import per_frame
from stale_jax.processes.reflected import fold_box
from stale_jax.sampling import solve

MIXTURE = FoldedMixture()


class EulerMaruyama(Reflected):
  """Steps the plain reverse SDE, with noise of the full variance, and folds."""

  def step(self, noise, output, x_t, t, s):
    q = per_frame(jnp.square(self.sigma(t)) - jnp.square(self.sigma(s)), x_t)
    mean = x_t + 2 * q * self.score(output, x_t, t)
    return jnp.where(per_frame(s > 0, x_t), self.bound(mean + 2 * jnp.sqrt(q) * noise), jnp.clip(mean, -1, 1))

  def bound(self, x):
    return fold_box(x)


class Clipping(EulerMaruyama):
  """The same with the usual mistake: mass piles up at the walls."""

  def bound(self, x):
    return jnp.clip(x, -1, 1)


def samples(process: Process, solver: str, steps: int, *, shift=1.0, n=100_000, seed=0) -> np.ndarray:
  """`n` draws in [0, 1] with the exact score, from the process's own prior."""
  prior, noise = jax.random.split(jax.random.key(seed))
  context = Context(text=jnp.zeros((1, 1), jnp.int32))

  @jax.jit
  def run(x):
    times, denoiser = grid(steps, shift), MIXTURE.denoiser(process)
    return solve(process, denoiser, {"x": x}, times, context, keys=noise[None], solver=solver)["x"]

  return (np.asarray(run(process.prior(prior, (1, 1, n)))).ravel() + 1) / 2
