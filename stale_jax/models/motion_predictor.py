"""The semantic motion predictor: what lies between two pictures (StoryDiffusion, arXiv 2405.01434, 3.2).

Start and end picture are encoded, their codes interpolated linearly to one token a frame, and a small
transformer over these tokens predicts the codes of the frames, as a change of the interpolation. It begins
as the interpolation itself.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.models.layers import Dense, RMSNorm, time_features


def interpolated(
  start: Float[Array, "batch *code"], end: Float[Array, "batch *code"], frames: int
) -> Float[Array, "batch frames *code"]:
  """The straight line from `start`, the first frame, to `end`, the last."""
  w = jnp.reshape(jnp.linspace(0, 1, frames), (-1, *(1,) * (start.ndim - 1)))
  return (1 - w) * start[:, None] + w * end[:, None]


class MotionPredictor(nn.Module):
  """Codes of the frames from the first to the last.

  Attributes:
    width: of a token.
    depth: layers; the paper has 8.
    heads: of attention.
  """

  width: int = 128
  depth: int = 4
  heads: int = 4

  @nn.compact
  def __call__(
    self, start: Float[Array, "batch *code"], end: Float[Array, "batch *code"], frames: int
  ) -> Float[Array, "batch frames *code"]:
    """Both ends as given, and what is predicted between."""
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
