"""The reverse step of the process itself."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from stale_jax.clip import Clip
from stale_jax.processes import Process
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers.solver import Reverse


@dataclasses.dataclass(frozen=True)
class Ancestral:
  """The reverse step `Process.step`, with fresh noise if `process.draws_noise`. The state is the clip."""

  looks_ahead = False

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return True

  def initialize(self, reverse: Reverse, x: Clip) -> Clip:
    """See `Solver`."""
    return x

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Clip) -> Clip:
    """See `Solver`."""
    x, (t, s) = state, reverse.between(step)
    output = reverse.evaluate(x, t)

    def one(name):
      draw = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, x[name].shape[2:], x[name].dtype)))
      noise = draw(reverse.noise_keys(name, step))
      moved = reverse.process.step(noise, output[name], x[name], t, s)
      return jnp.where(per_frame(s < t, moved), moved, x[name])

    return {name: one(name) for name in x}

  def finalize(self, state: Clip) -> Clip:
    """See `Solver`."""
    return state
