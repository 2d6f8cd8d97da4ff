"""Consistency steps, for students distilled to few steps."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Int

from stale_jax.clip import Clip
from stale_jax.processes import Process, corrupt_array
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers.solver import Memoryless, Reverse


@dataclasses.dataclass(frozen=True)
class Consistency(Memoryless):
  """Noises the current estimate of x0 to time s with fresh noise (Song et al., arXiv 2303.01469, Alg. 1).

  For distilled students whose x0 is a sample, not a mean (`training/steps/self_forcing.py`). It uses only
  `Process.denoised` and `Process.corrupt`, so it works with every process.
  """

  looks_ahead = False

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return True

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Clip) -> Clip:
    """See `Solver`."""
    process, x, (t, s) = reverse.process, state, reverse.between(step)
    output = reverse.evaluate(x, t)

    def one(name):
      clean = process.denoised(output[name], x[name], t)
      noised = corrupt_array(process, clean, s, reverse.noise_keys(name, step)).x_t
      return jnp.where(per_frame(s < t, clean), noised, x[name])

    return {name: one(name) for name in x}
