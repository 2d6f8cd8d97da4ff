"""Euler's method for the probability-flow ODE."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Int

from stale_jax.clip import Clip
from stale_jax.processes import Process
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers.solver import Memoryless, Reverse


def move(process: Process, x, velocity, t, s):
  """An Euler step of one sense from times t to times s; frames with s = t are returned unchanged."""
  moved = x + per_frame(process.clock(s) - process.clock(t), x) * velocity
  return jnp.where(per_frame(s < t, x), process.project(moved), x)


@dataclasses.dataclass(frozen=True)
class Euler(Memoryless):
  """Euler's method for the probability-flow ODE; first order."""

  looks_ahead = False

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return process.has_flow

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Clip) -> Clip:
    """See `Solver`."""
    process, x, (t, s) = reverse.process, state, reverse.between(step)
    output = reverse.evaluate(x, t)
    return {name: move(process, x[name], process.velocity(output[name], x[name], t), t, s) for name in x}
