"""The caption's encoder."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from stale_jax.models.layers import Dense
from stale_jax.text import PAD, VOCABULARY

# Bytes a text token of the transformer stands for.
PATCH = 4


class Convolution(nn.Module):
  """Along the second axis, as one matrix product of every position's neighbourhood.

  `nn.Conv` is the same, by the same parameters; but on a mesh that cuts both heads and tokens XLA's
  partitioner (jaxlib 0.10.2) doubles the gradient of its kernel.
  """

  size: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "batch length width"]) -> Float[Array, "batch length width"]:
    length, width = x.shape[1:]
    kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.size, width, width))
    bias = self.param("bias", nn.initializers.zeros, (width,))
    x = jnp.pad(x, ((0, 0), (self.size // 2, self.size // 2), (0, 0)))
    near = jnp.concatenate([x[:, i : i + length] for i in range(self.size)], -1)
    return near @ jnp.reshape(kernel, (-1, width)).astype(self.dtype) + bias.astype(self.dtype)


class TextEncoder(nn.Module):
  """Two residual convolutions over bytes, then one token for every four bytes.

  Attributes:
    width: of a token.
  """

  width: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, tokens: Int[Array, "batch length"]
  ) -> tuple[Float[Array, "batch length//4 width"], Bool[Array, "batch length//4"]]:
    real = (tokens != PAD)[..., None]
    x = nn.Embed(VOCABULARY, self.width, dtype=self.dtype, name="bytes")(tokens) * real
    x = x + self.param("position", nn.initializers.normal(0.02), x.shape[1:]).astype(self.dtype)
    for layer in range(2):
      h = nn.LayerNorm(dtype=self.dtype, name=f"norm_{layer}")(x) * real
      h = Convolution(7, self.dtype, name=f"conv_{layer}")(h)
      x = x + Dense(self.width, dtype=self.dtype, name=f"dense_{layer}")(nn.gelu(h))
    batch, length, width = x.shape
    x = jnp.reshape(x * real, (batch, length // PATCH, PATCH * width))
    return Dense(self.width, dtype=self.dtype, name="merge")(x), real.reshape(batch, -1, PATCH).any(-1)
