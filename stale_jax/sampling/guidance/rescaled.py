"""Rescaled classifier-free guidance."""

import dataclasses

import jax.numpy as jnp

from stale_jax.processes import Process
from stale_jax.sampling.guidance.rule import Plain, divided, total


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rescaled:
  """Rescaled guidance (Lin et al., arXiv 2305.08891, eq. 14 to 16), against overexposure at large scales.

  The guided output g is multiplied by std(c) / std(g), and mixed with g:

    rescale g std(c) / std(g) + (1 - rescale) g.

  As in diffusers (`rescale_noise_cfg`), the output is that of the network; ours is x0.

  Attributes:
    rescale: the share of the rescaled output; 0 is plain guidance.
  """

  rescale: float

  def fits(self, process: Process) -> bool:
    """See `Rule`."""
    return not process.is_discrete

  def __call__(self, conditional, unconditional, scale, x, t):
    """See `Rule`."""
    guided = Plain()(conditional, unconditional, scale, x, t)
    ratio = jnp.sqrt(divided(_deviation(conditional, t), _deviation(guided, t)))
    return self.rescale * (guided * ratio) + (1 - self.rescale) * guided


def _deviation(x, t):
  """The sum of the squared differences from the mean."""
  return total(jnp.square(x - divided(total(x, t), total(jnp.ones_like(x), t))), t)
