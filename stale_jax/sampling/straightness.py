"""How straight the paths of a probability-flow ODE are."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context
from stale_jax.processes.process import FlowProcess, per_frame
from stale_jax.sampling.solvers import Denoiser


def bend(
  process: FlowProcess,
  denoiser: Denoiser,
  noise: Clip,
  times: Float[Array, "grid batch frames"],
  context: Context,
) -> dict[str, Float[Array, "batch"]]:
  """The deviation of the ODE's paths from straight lines (Liu et al., arXiv 2209.03003, eq. 6), relative.

    S = int |Z_1 - Z_0 - dZ_t/dt|^2 dt / |Z_1 - Z_0|^2,

  where t is the clock of the process, scaled to [0, 1], and the path is solved by Euler's method. S is 0 if
  and only if the path is a straight line at constant speed, which one Euler step solves exactly.

  Args:
    process: a process with an ODE.
    denoiser: (clip, times, context) -> outputs.
    noise: the clip at times[0].
    times: time grid from 1 to 0.
    context: captions.

  Returns:
    sense -> S of each clip.
  """

  def step(clip, ends):
    t, s = ends
    output, length = denoiser(clip, t, context), process.clock(s) - process.clock(t)
    velocity = {name: process.velocity(output[name], x, t) for name, x in clip.items()}
    moved = {name: process.project(x + per_frame(length, x) * velocity[name]) for name, x in clip.items()}
    return moved, (velocity, length)

  end, (velocities, lengths) = jax.lax.scan(step, noise, (times[:-1], times[1:]))
  out, total = {}, lengths.sum(0)
  for name, velocity in velocities.items():
    axes = tuple(range(1, noise[name].ndim))
    line = end[name] - noise[name]
    # In units of the whole duration, so that the velocity of a straight path is `line`.
    off = line - per_frame(total, line) * velocity
    share = jax.vmap(lambda length, x: per_frame(length / total, x))(lengths, velocity)
    out[name] = jnp.sum(share * jnp.square(off), (0, *(axis + 1 for axis in axes))) / jnp.sum(
      jnp.square(line), axes
    )
  return out
