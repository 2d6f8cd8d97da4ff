"""Adaptive projected guidance, without its momentum."""

import dataclasses

import jax.numpy as jnp

from stale_jax.processes import Process
from stale_jax.sampling.guidance.rule import divided, total


@dataclasses.dataclass(frozen=True, kw_only=True)
class Projected:
  """Adaptive projected guidance, APG (Sadat et al., arXiv 2410.02416, Alg. 1), against oversaturation.

  The difference c - u is first shortened to the length `norm_limit`. Its part parallel to c, which mostly
  increases saturation, is then multiplied by `parallel`:

    c + (scale - 1) (orthogonal part + parallel * parallel part).

  As in the paper, it acts on x0. It equals diffusers' `AdaptiveProjectedGuidance` with
  use_original_formulation=True and guidance_scale = scale - 1. The paper's momentum, a mean of the
  differences over the steps, is not implemented, since a denoiser has no memory.

  Attributes:
    parallel: the weight of the parallel part (the paper's eta); 1 is plain guidance if there is no limit.
    norm_limit: the largest norm of c - u, of a sense over the frames that are denoised (the paper's r);
      0: no limit.
  """

  parallel: float
  norm_limit: float

  def fits(self, process: Process) -> bool:
    """See `Rule`."""
    return not process.is_discrete

  def __call__(self, conditional, unconditional, scale, x, t):
    """See `Rule`."""
    difference = conditional - unconditional
    if self.norm_limit:
      norm = jnp.sqrt(total(jnp.square(difference), t))
      difference *= self.norm_limit / jnp.maximum(norm, self.norm_limit)
    share = divided(total(difference * conditional, t), total(jnp.square(conditional), t))
    along = share * conditional
    return conditional + (scale - 1) * (difference - along + self.parallel * along)
