"""DPM-Encoder: all the noise with which a stochastic sampler makes a given clip (arXiv 2210.05559).

A stochastic sampler maps its noise z = (x_T, z_T, ..., z_1) to a clip, in steps x_s = project(m + v z_s).
The mean m and the scale v are those of `FlowProcess.transition`. The encoder inverts this map (Wu and De la
Torre, CycleDiffusion): it draws a path x_T, ..., x_1 from the true process given the clip
(`FlowProcess.bridge`), and solves each step for its noise, z_s = (x_s - m) / v. With this noise the sampler
takes the same path and returns the clip, however wrong the network is. With another prompt or another network
it returns an edited clip (`cycle_diffusion`).

- The last step, to time 0, has no noise. Its error x_0 - x0_hat is kept as a remainder and added again, as if
  the clip were a Gaussian around x0_hat with a fixed scale.
- The noise of a clip that the network does not predict exactly is not a draw of the prior: near the data,
  where v is small, it is many times as large. It must not be normalised or clipped.
- Processes with walls: in `Reflected` and `UniformFlow` the path stays in the box, so `project` changes
  nothing on the way back, and the noise is solved for as if there were no walls. With another prompt, m + v z
  may leave the box and is projected. For uniform noise, a value outside of [-1, 1] is the analogue of a large
  Gaussian one: the sampler would never draw it.
- eta scales the noise of a step. At 0 the sampler is the ODE, which has no noise to solve for.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stale_jax.clip import Clip
from stale_jax.processes import corrupt, named_keys, with_keys
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers import Reverse


@flax.struct.dataclass
class Codes:
  """The code of a clip.

  Attributes:
    start: the clip at the first time of the grid, sense -> [batch, frames, *shape].
    noise: the noise of all steps but the last, sense -> [steps - 1, batch, frames, *shape].
    remainder: the error of the last step, sense -> [batch, frames, *shape].
  """

  start: Clip
  noise: Clip
  remainder: Clip


def encode(reverse: Reverse, clip: Clip, eta: Float[Array, ""] | float) -> Codes:
  """Draws a code of `clip`, from which `decode` with the same arguments returns it.

  Args:
    reverse: process, denoiser, context, keys, and the time grid, which ends at 0 and may begin below 1. The
      code of an example depends only on its own key and clip.
    clip: sense -> [batch, frames, *shape], in [-1, 1].
    eta: share of fresh noise in a step, above 0 and at most 1.
  """
  process, keys = reverse.process, named_keys(reverse.keys, "encode")
  start = {name: c.x_t for name, c in corrupt(process, clip, reverse.times[0], keys).items()}
  reverse = dataclasses.replace(reverse, keys=keys)

  def body(x, step):
    t, s = reverse.between(step)
    output = reverse.evaluate(x, t)

    def one(name):
      def bridge(key, x0, x_t, t, s):
        return process.bridge(key, x0, x_t, t, s, eta)

      keys = reverse.noise_keys(name, step)
      there = with_keys(bridge, keys, clip[name], x[name], t, s)
      mean, scale = process.transition(output[name], x[name], t, s, eta)
      moves = per_frame(s < t, mean)
      return jnp.where(moves, there, x[name]), jnp.where(moves, (there - mean) / scale, 0.0)

    both = {name: one(name) for name in x}
    return {name: there for name, (there, _) in both.items()}, {name: z for name, (_, z) in both.items()}

  last, noise = jax.lax.scan(body, start, _stochastic(reverse))
  made = _finish(reverse, last)
  return Codes(start=start, noise=noise, remainder={name: clip[name] - made[name] for name in clip})


def decode(reverse: Reverse, codes: Codes, eta: Float[Array, ""] | float) -> Clip:
  """The clip that the sampler makes with the noise in `codes`; see `encode` for the arguments."""
  process = reverse.process

  def body(x, numbered):
    step, noise = numbered
    t, s = reverse.between(step)
    output = reverse.evaluate(x, t)

    def one(name):
      mean, scale = process.transition(output[name], x[name], t, s, eta)
      moved = process.project(mean + scale * noise[name])
      return jnp.where(per_frame(s < t, moved), moved, x[name])

    return {name: one(name) for name in x}, None

  last, _ = jax.lax.scan(body, codes.start, (_stochastic(reverse), codes.noise))
  made = _finish(reverse, last)
  return {name: jnp.clip(made[name] + codes.remainder[name], -1.0, 1.0) for name in made}


def _stochastic(reverse: Reverse) -> Int[Array, "steps"]:
  """The numbers of the steps that draw noise: all but the last."""
  return jnp.arange(len(reverse.times) - 2)


def _finish(reverse: Reverse, x: Clip) -> Clip:
  """The estimate of the clean clip at the beginning of the last step; frames at time 0 are clean."""
  t = reverse.times[-2]
  output = reverse.evaluate(x, t)
  clean = {name: reverse.process.denoised(output[name], x[name], t) for name in x}
  return {name: jnp.where(per_frame(t > 0, clean[name]), clean[name], x[name]) for name in x}
