"""In-painting: known values of a clip are kept, and all others are sampled.

A value may be known anywhere in space, in time and in any sense. The mechanism is one function from denoiser
to denoiser, for every process and solver: where a value is known, the output is that of a network that knows
x0 (`Process.output_for`). The reverse process then takes a known value from its noise at time 1 to itself.
Meanwhile the network sees it as noisy as all others, as in RePaint (Lugmayr et al., arXiv 2201.09865):

- x_t = alpha x0 + sigma e: with x0_hat = x0 the ODE is the straight path, and every step to time s is at
  alpha_s x0 + sigma_s e, with the e that was drawn at time 1. It is exactly `corrupt` at time s, but with the
  same noise in all steps. RePaint draws new noise in each step, because its reverse steps draw new noise for
  the unknown values too; for the uniform prior they cannot (`UniformFlow`).
- Gaussian ancestral steps draw from q(x_s | x_t, x0), which is exact as well, with new noise.
- `Reflected`: the output has the score of the kernel from x0, so the solver follows the probability flow from
  a uniform draw to x0; `UniformTokens`: the posterior is certain of x0.

A frame that is known in all senses can be clean from the start, with time 0, in models whose frames have
times of their own. This is stronger, because the network sees the values themselves.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stale_jax.clip import Clip, Context
from stale_jax.processes import Process
from stale_jax.processes.process import per_frame
from stale_jax.sampling.inpainting.steering import Steering, steered
from stale_jax.sampling.solvers import Denoiser


@flax.struct.dataclass
class Known:
  """Known values of a batch of clips.

  Attributes:
    values: sense -> [batch, frames, *shape], for all senses of the model; unknown values are not read.
    mask: sense -> whether a value is known, of the same shape.
    clean: frames that are known in all senses and have time 0 from the start, [batch, frames].
    steering: steering by a circuit; None for none.
  """

  values: Clip
  mask: dict[str, Bool[Array, "batch frames *shape"]]
  clean: Bool[Array, "batch frames"]
  steering: Steering | None = None

  def take(self, rows) -> "Known":
    """The known values of the clips at indices `rows`."""
    values, mask, clean = jax.tree.map(lambda x: x[rows], (self.values, self.mask, self.clean))
    return dataclasses.replace(self, values=values, mask=mask, clean=clean)

  def begin(
    self, x: Clip, times: Float[Array, "grid batch frames"]
  ) -> tuple[Clip, Float[Array, "grid batch frames"]]:
    """The start of sampling, from the prior's draw `x`, and the time grid, with clean frames at time 0."""
    x = {name: jnp.where(per_frame(self.clean, v), self.values[name], v) for name, v in x.items()}
    return x, jnp.where(self.clean, 0.0, times)

  def paste(self, x: Clip) -> Clip:
    """The clip `x` with the known values, bit for bit."""
    return {name: jnp.where(self.mask[name], self.values[name], v) for name, v in x.items()}

  def denoiser(self, process: Process, denoiser: Denoiser) -> Denoiser:
    """The denoiser that knows the known values; `denoiser` may be guided."""
    inner = denoiser
    if self.steering is not None:
      inner = steered(process, denoiser, self.values, self.mask, self.steering)

    def knowing(clip: Clip, t: Float[Array, "batch frames"], context: Context) -> Clip:
      output = inner(clip, t, context)
      true = {name: process.output_for(self.values[name], clip[name], t) for name in output}
      return {name: jnp.where(self.mask[name], true[name], o) for name, o in output.items()}

    return knowing
