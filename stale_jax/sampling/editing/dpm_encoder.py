"""DPM-Encoder: all the noise with which a stochastic sampler makes a given clip (arXiv 2210.05559).

A stochastic sampler maps its noise z = (x_T, z_T, ..., z_1) to a clip, in steps x_s = project(m + v z_s).
The mean m and the scale v are those of `FlowProcess.transition`. The encoder inverts this map (Wu and De la
Torre, CycleDiffusion): it draws a path x_T, ..., x_1 from the true process given the clip
(`FlowProcess.bridge`), and solves each step for its noise, z_s = (x_s - m) / v. With this noise the sampler
takes the same path and returns the clip, however wrong the network is. With another prompt or another network
it returns an edited clip (`cycle_diffusion`).

- The step to time 0 has no noise of its own. As if the clip were a Gaussian around x0_hat with a fixed
  scale, it has the mean x0_hat and the scale 1, so its noise is the error of x0_hat.
- The noise of a clip that the network does not predict exactly is not a draw of the prior: near the data,
  where v is small, it is many times as large. It must not be normalised or clipped.
- Processes with walls: in `Reflected` and `UniformFlow` the path stays in the box, so `project` changes
  nothing on the way back, and the noise is solved for as if there were no walls. With another prompt, m + v z
  may leave the box and is projected. For uniform noise, a value outside of [-1, 1] is the analogue of a large
  Gaussian one: the sampler would never draw it.
- A sense that the clip lacks can be made along, so that the network sees all senses that it was trained with.
  It follows the ODE from a draw of the prior, in the encoder under the source prompt and in the decoder under
  the new one, and has no noise to solve for.
- eta scales the noise of a step. At 0 the sampler is the ODE, which has no noise to solve for.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stale_jax.clip import Clip
from stale_jax.processes import corrupt, named_keys, with_keys
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers import Reverse

NO_SENSES: Mapping[str, Array] = MappingProxyType({})


@flax.struct.dataclass
class Codes:
  """The code of a clip.

  Attributes:
    start: the clip at the first time of the grid, sense -> [batch, frames, *shape].
    noise: the noise of each step, sense -> [steps, batch, frames, *shape]; other senses follow the ODE.
  """

  start: Clip
  noise: Clip


def encode(
  reverse: Reverse, clip: Clip, eta: Float[Array, ""] | float, others: Mapping[str, Array] = NO_SENSES
) -> Codes:
  """Draws a code of `clip`, from which `decode` with the same arguments returns it.

  Args:
    reverse: process, denoiser, context, keys, and the time grid, which ends at 0 and may begin below 1. The
      code of an example depends only on its own key and clip.
    clip: sense -> [batch, frames, *shape], in [-1, 1].
    eta: share of fresh noise in a step, above 0 and at most 1.
    others: senses that `clip` lacks, at the first time of the grid: draws of the prior.
  """
  process, keys = reverse.process, named_keys(reverse.keys, "encode")
  corrupted = corrupt(process, clip, reverse.times[0], keys)
  start = {**others, **{name: c.x_t for name, c in corrupted.items()}}
  reverse = dataclasses.replace(reverse, keys=keys)

  def bridge(key, *arrays):
    return process.bridge(key, *arrays, eta)

  def body(x, step):
    t, s = reverse.between(step)
    means, scales = _moments(reverse, x, step, dict.fromkeys(clip, eta))

    def one(name):
      there = with_keys(bridge, reverse.noise_keys(name, step), clip[name], x[name], t, s)
      moves = per_frame(s < t, there)
      noise = (there - means[name]) / scales[name]
      return jnp.where(moves, there, x[name]), jnp.where(moves, noise, 0.0)

    both = {name: one(name) for name in clip}
    made = {name: _moved(reverse, x[name], means[name], step) for name in others}
    made |= {name: there for name, (there, _) in both.items()}
    return made, {name: z for name, (_, z) in both.items()}

  _, noise = jax.lax.scan(body, start, jnp.arange(len(reverse.times) - 1))
  return Codes(start=start, noise=noise)


def decode(reverse: Reverse, codes: Codes, eta: Float[Array, ""] | float) -> Clip:
  """The clip that the sampler makes with the noise in `codes`; see `encode` for the arguments."""

  def body(x, numbered):
    step, noise = numbered
    means, scales = _moments(reverse, x, step, dict.fromkeys(noise, eta))
    there = {name: means[name] + scales[name] * noise[name] for name in noise}
    return {name: _moved(reverse, x[name], there.get(name, means[name]), step) for name in x}, None

  clip, _ = jax.lax.scan(body, codes.start, (jnp.arange(len(reverse.times) - 1), codes.noise))
  return {name: jnp.clip(x, -1.0, 1.0) for name, x in clip.items()}


def _moved(reverse: Reverse, x: Array, there: Array, step: Int[Array, ""]) -> Array:
  """One sense after a step that ends at `there`; frames whose time does not fall stay at `x`."""
  t, s = reverse.between(step)
  return jnp.where(per_frame(s < t, x), reverse.process.project(there), x)


def _moments(reverse: Reverse, x: Clip, step: Int[Array, ""], etas: Mapping[str, Any]) -> tuple[Clip, Clip]:
  """The mean and the scale of a step; those of the step to time 0 are x0_hat and 1.

  `etas` maps the senses with noise to their eta; the means of the others are steps of the ODE.
  """
  process, (t, s) = reverse.process, reverse.between(step)
  output = reverse.evaluate(x, t)
  means, scales = {}, {}
  for name in x:
    mean, scale = process.transition(output[name], x[name], t, s, etas.get(name, 0.0))
    is_last = per_frame(s <= 0, mean)
    means[name] = jnp.where(is_last, process.denoised(output[name], x[name], t), mean)
    scales[name] = jnp.where(is_last, 1.0, scale)
  return means, scales
