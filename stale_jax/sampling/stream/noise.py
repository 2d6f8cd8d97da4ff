"""Motion-aware noise for video-to-video: slow sources get more noise, fast ones less.

From StreamDiffusionV2 (arXiv 2511.07399, sec. 3.3). With much noise a fast motion is lost, and with little
noise a still source keeps its own look. The difference of consecutive frames v of the source is d = sqrt(mean
(v_t - v_{t-1})^2), and m = clip(max of the last `memory` d / sigma, 0, 1). The noise is a moving
average: s_t = rate (most - (most - least) m) + (1 - rate) s_{t-1}.
"""

import dataclasses

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number


@flax.struct.dataclass
class NoiseState:
  """The last frame, the last differences (0 before the second frame), and the noise."""

  frame: Float[Array, "*shape"]
  differences: Float[Array, "memory"]
  noise: Float[Array, ""]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseController:
  """Settings of the controller; the defaults are the paper's, for a first level at time 1.

  Attributes:
    least, most: noise of fast and of still sources, as a factor on the times of the levels.
    sigma: difference of frames from which on a source is fast.
    rate: rate of the moving average.
    memory: number of differences whose maximum counts.
  """

  least: float = number(0.7, least=0, most=1)
  most: float = number(0.8, least=0, most=1)
  sigma: float = number(0.2, above=0)
  rate: float = number(0.9, above=0, most=1)
  memory: int = number(5, least=1)

  def __post_init__(self):
    check_fields(self, "noise")
    if self.least > self.most:
      raise UserError(f"noise least={self.least} must not exceed most={self.most}.")

  def start(self, frame: Float[Array, "*shape"]) -> NoiseState:
    """The state after the first frame, with the noise of a still source."""
    return NoiseState(frame=frame, differences=jnp.zeros(self.memory), noise=jnp.float32(self.most))

  def __call__(self, state: NoiseState, frame: Float[Array, "*shape"]) -> NoiseState:
    """The state after the next frame; its `noise` is that of this frame."""
    difference = jnp.sqrt(jnp.mean(jnp.square(frame - state.frame)))
    differences = jnp.append(state.differences[1:], difference)
    motion = jnp.clip(differences.max() / self.sigma, 0, 1)
    target = self.most - (self.most - self.least) * motion
    noise = self.rate * target + (1 - self.rate) * state.noise
    return NoiseState(frame=frame, differences=differences, noise=noise)
