"""Guidance in the space of codes: clips of low energy by Langevin dynamics on the sampler's noise.

A sampler of the ODE makes a clip G(w) of its initial noise x_T = from_normal(w), where w ~ N(0, I) for every
process. With an energy E of clips, CycleDiffusion (Wu and De la Torre, arXiv 2210.05559, section 3.4) draws w
from

  p(w | E) ~ N(w; 0, I) exp(-weight E(G(w))),

so that nothing is trained and the energy need not know noised clips. The Langevin step used here is

  w <- sqrt(1 - h^2) w - (h^2 / 2) weight grad E(G(w)) + h noise.

In the paper the first factor is 1 - h^2 / 2. With the square root, the step without an energy keeps N(0, I)
exactly, for any step size h (preconditioned Crank-Nicolson: Cotter et al., arXiv 1202.0709). The noise of
uniform processes stays in the box, since only w moves.

The gradient runs through the whole sampler. The backward pass evaluates the network again, so that memory
holds the activations of one step of the sampler at a time, and the clip after every step.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stale_jax.clip import Clip
from stale_jax.fields import check_fields, number
from stale_jax.processes import named_keys
from stale_jax.sampling.editing.dpm_encoder import Codes, decode
from stale_jax.sampling.solvers import Reverse

# (sense -> [batch, frames, *shape] in [-1, 1]) -> the energy of each clip; less is better. A JAX function.
Energy = Callable[[Clip], Float[Array, "batch"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Langevin:
  """Settings of the dynamics.

  Attributes:
    weight: factor of the energy. A change of the energy by 1 / weight weighs as much as one nat of the prior.
      The noise has thousands of values, so that an energy between 0 and 1 needs a weight of some thousands.
    iterations: number of steps; each samples the clip once and computes a gradient.
    size: h, the size of a step.
  """

  weight: float = number(3000.0, least=0)
  iterations: int = number(20, least=1, most=100_000)
  size: float = number(0.2, above=0, below=1)

  def __post_init__(self):
    check_fields(self, "langevin")


def langevin_step(
  reverse: Reverse,
  w: Clip,
  energy: Energy,
  weight: Float[Array, ""] | float,
  size: Float[Array, ""] | float,
  iteration: Int[Array, ""] | int,
) -> tuple[Clip, Clip, Float[Array, "batch"]]:
  """One step of the dynamics.

  Args:
    reverse: process, denoiser, context, keys, and the time grid from 1 to 0. A clip depends on its key alone.
    w: sense -> [batch, frames, *shape]; at the start, draws of N(0, 1).
    energy: the energy of clips.
    weight, size: see `Langevin`. If the size is 0, w stays.
    iteration: number of the step, which gives it fresh noise.

  Returns:
    (w after the step, and the clips and their energies before it).
  """
  fresh = dataclasses.replace(reverse, keys=named_keys(reverse.keys, "langevin"))
  recomputed = dataclasses.replace(reverse, denoiser=jax.checkpoint(reverse.denoiser))

  def total(w: Clip):
    start = {name: reverse.process.from_normal(x) for name, x in w.items()}
    clip = decode(recomputed, Codes(start=start, noise={}), 0.0)
    energies = energy(clip).astype(jnp.float32)
    return energies.sum(), (clip, energies)

  (_, (clip, energies)), slope = jax.value_and_grad(total, has_aux=True)(w)

  def moved(name):
    noise = fresh.noise(name, jnp.asarray(iteration), w[name])
    return jnp.sqrt(1 - size**2) * w[name] - size**2 / 2 * weight * slope[name] + size * noise

  return {name: moved(name) for name in w}, clip, energies
