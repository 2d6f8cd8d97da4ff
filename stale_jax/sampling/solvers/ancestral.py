"""The reverse step of the process itself."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Int

from stale_jax.clip import Clip
from stale_jax.processes import Process
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers.solver import Memoryless, Reverse


@dataclasses.dataclass(frozen=True)
class Ancestral(Memoryless):
  """The reverse step `Process.step`, with fresh noise if `process.draws_noise`."""

  looks_ahead = False

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return True

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Clip) -> Clip:
    """See `Solver`."""
    x, (t, s) = state, reverse.between(step)
    output = reverse.evaluate(x, t)

    def one(name):
      noise = reverse.noise(name, step, x[name])
      moved = reverse.process.step(noise, output[name], x[name], t, s)
      return jnp.where(per_frame(s < t, moved), moved, x[name])

    return {name: one(name) for name in x}
