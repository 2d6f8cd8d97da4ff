"""Heun's method for the probability-flow ODE."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Int

from stale_jax.clip import Clip
from stale_jax.processes import Process
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers.euler import move
from stale_jax.sampling.solvers.solver import Memoryless, Reverse


@dataclasses.dataclass(frozen=True)
class Heun(Memoryless):
  """Heun's method for the probability-flow ODE in the variable `Process.clock`.

  Second order, two evaluations per step. The step to s = 0 is an Euler step. There is no churn.

  For processes with x_t = alpha x0 + sigma e this is Algorithm 1 of Karras et al. (EDM, arXiv 2206.00364)
  with scale s = alpha, noise level sigma / alpha and `clock` as its time. It is not the sampler that the
  paper recommends, not even for `edm`. The paper takes s = 1 and the noise level itself as time, so that it
  averages two slopes of the unscaled x with respect to the level; for `edm` we average two slopes of the
  scaled x with respect to the angle atan(level). The methods have the same order and limit, but not the
  same steps. Here x0 is also clipped to the box, and the time grid differs (see `processes.EDM`). The
  paper's Algorithm 2, with churn, is not implemented.
  """

  looks_ahead = True

  def fits(self, process: Process) -> bool:
    """See `Solver`."""
    return process.has_flow

  def step(self, reverse: Reverse, step: Int[Array, ""], state: Clip) -> Clip:
    """See `Solver`."""
    process, x, (t, s) = reverse.process, state, reverse.between(step)
    output = reverse.evaluate(x, t)
    first = {name: process.velocity(output[name], x[name], t) for name in x}
    there = {name: move(process, x[name], first[name], t, s) for name in x}
    output = reverse.evaluate(there, s)

    def correct(name):
      second = process.velocity(output[name], there[name], s)
      mean = move(process, x[name], (first[name] + second) / 2, t, s)
      return jnp.where(per_frame(s > 0, mean), mean, there[name])

    return {name: correct(name) for name in x}
