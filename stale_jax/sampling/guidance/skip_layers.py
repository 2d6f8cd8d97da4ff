"""Skip-layer guidance: away from the output of the network without some of its blocks."""

import dataclasses

from jaxtyping import Array, Bool, Shaped

from stale_jax.sampling.solvers import Denoiser


@dataclasses.dataclass(frozen=True, kw_only=True)
class SkipLayers:
  """Skip-layer guidance of SD3.5 (`StableDiffusion3Pipeline` of diffusers), which improves the structure.

  To the guided output is added scale (c - c_skip), where c_skip is the conditional output of the network
  without the blocks `layers`. It is evaluated only at times in `interval`, and only where the rest of
  guidance is enabled.

  Attributes:
    layers: indices of the blocks that are skipped.
    scale: the scale of this term.
    interval: smallest and largest time with this term.
  """

  layers: tuple[int, ...]
  scale: float
  interval: tuple[float, float]

  def inside(self, t: Shaped[Array, "..."]) -> Bool[Array, "..."]:
    """Whether times are in `interval`."""
    return (self.interval[0] <= t) & (t <= self.interval[1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Push:
  """Skip-layer guidance, and the denoiser that skips the layers."""

  skip: SkipLayers
  denoiser: Denoiser
