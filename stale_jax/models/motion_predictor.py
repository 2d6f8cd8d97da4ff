"""The semantic motion predictor of StoryDiffusion (arXiv 2405.01434, 3.2): frames between two images.

The codes (latents) of the start and end images are interpolated linearly, which gives one token per frame.
A small transformer over these tokens predicts the codes of the frames as a residual to the interpolation; at
initialisation the residual is 0.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.models.layers import Dense, RMSNorm, time_features


def interpolated(
  start: Float[Array, "batch *code"], end: Float[Array, "batch *code"], frames: int
) -> Float[Array, "batch frames *code"]:
  """Linear interpolation from `start`, the first frame, to `end`, the last."""
  w = jnp.reshape(jnp.linspace(0, 1, frames), (-1, *(1,) * (start.ndim - 1)))
  return (1 - w) * start[:, None] + w * end[:, None]


class MotionPredictor(nn.Module):
  """A transformer that predicts the codes of the frames between a first and a last one.

  Attributes:
    width: width of a token.
    depth: number of layers; the paper uses 8.
    heads: number of attention heads.
  """

  width: int = 128
  depth: int = 4
  heads: int = 4

  @nn.compact
  def __call__(
    self, start: Float[Array, "batch *code"], end: Float[Array, "batch *code"], frames: int
  ) -> Float[Array, "batch frames *code"]:
    """Codes of `frames` frames: `start`, the predicted codes, `end`."""
    line = interpolated(start, end, frames)
    flat = jnp.reshape(line, (len(line), frames, -1))
    x = Dense(self.width, name="in")(flat)
    x = x + Dense(self.width, name="time")(time_features(jnp.linspace(0, 1, frames)))
    for layer in range(self.depth):
      y = RMSNorm(name=f"attention_norm_{layer}")(x)
      q, k, v = jnp.split(Dense(3 * self.width, name=f"qkv_{layer}")(y), 3, -1)
      split = (*x.shape[:2], self.heads, -1)
      y = nn.dot_product_attention(*(jnp.reshape(part, split) for part in (q, k, v)))
      x = x + Dense(self.width, name=f"out_{layer}")(jnp.reshape(y, x.shape))
      y = RMSNorm(name=f"norm_{layer}")(x)
      y = Dense(self.width, name=f"down_{layer}")(nn.gelu(Dense(4 * self.width, name=f"up_{layer}")(y)))
      x = x + y
    change = Dense(flat.shape[-1], nn.initializers.zeros, name="change")(RMSNorm(name="norm")(x))
    inside = (np.arange(frames) % (frames - 1) > 0)[:, None]
    return line + jnp.reshape(jnp.where(inside, change, 0), line.shape)
