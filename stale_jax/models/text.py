"""The text encoder for captions: convolutions over bytes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from stale_jax.models.layers import linear, linear_parameters
from stale_jax.models.parameters import ONES, Parameter
from stale_jax.text import PAD, VOCABULARY

# Bytes per text token of the transformer.
PATCH = 4

# Kernel size of the convolutions.
_SIZE = 7

_EMBEDDING = jax.nn.initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)
_CONVOLUTION = jax.nn.initializers.lecun_normal()
_POSITION = jax.nn.initializers.normal(0.02)


def convolution(params, x: Float[Array, "batch length width"], dtype) -> Float[Array, "batch length width"]:
  """A convolution along the second axis, as one matrix product of the neighbourhoods of all positions.

  It equals `nn.Conv` with the same parameters. `nn.Conv` is avoided because on a mesh that shards both heads
  and tokens, XLA's partitioner (jaxlib 0.10.2) doubles the gradient of its kernel.
  """
  size, width = params["kernel"].shape[0], x.shape[-1]
  length = x.shape[1]
  x = jnp.pad(x, ((0, 0), (size // 2, size // 2), (0, 0)))
  near = jnp.concatenate([x[:, i : i + length] for i in range(size)], -1)
  return near @ jnp.reshape(params["kernel"], (-1, width)).astype(dtype) + params["bias"].astype(dtype)


def _layer_norm(params, x, dtype):
  """LayerNorm with scale and bias; mean and variance are in float32 or wider."""
  y = x.astype(jnp.promote_types(jnp.float32, x.dtype))
  mean = y.mean(-1, keepdims=True)
  variance = jnp.maximum(jnp.mean(jnp.square(y), -1, keepdims=True) - jnp.square(mean), 0)
  y = (y - mean) * (jax.lax.rsqrt(variance + 1e-6) * params["scale"]) + params["bias"]
  return y.astype(dtype)


def text_parameters(width: int, length: int):
  """Declares the parameters of `encode_text` for tokens of width `width` and captions of `length` bytes."""

  def vector(init):
    return Parameter(shape=(width,), init=init)

  layers = {}
  for layer in range(2):
    kernel = Parameter(shape=(_SIZE, width, width), init=_CONVOLUTION)
    layers[f"norm_{layer}"] = {"scale": vector(ONES), "bias": Parameter(shape=(width,))}
    layers[f"conv_{layer}"] = {"kernel": kernel, "bias": Parameter(shape=(width,))}
    layers[f"dense_{layer}"] = linear_parameters(width, width)
  return {
    "bytes": {"embedding": Parameter(shape=(VOCABULARY, width), init=_EMBEDDING)},
    "position": Parameter(shape=(length, width), init=_POSITION),
    **layers,
    "merge": linear_parameters(PATCH * width, width),
  }


def encode_text(
  params, tokens: Int[Array, "batch length"], dtype
) -> tuple[Float[Array, "batch length//4 width"], Bool[Array, "batch length//4"]]:
  """Encodes captions: two residual convolutions over bytes, then one token for every `PATCH` bytes.

  Args:
    params: the parameters that `text_parameters` declares.
    tokens: bytes of the captions (`text.tokenize`), PAD where there are none.
    dtype: dtype of the computation.

  Returns:
    (text tokens, whether each token covers any byte that is not padding).
  """
  real = (tokens != PAD)[..., None]
  x = jnp.take(params["bytes"]["embedding"].astype(dtype), tokens, 0) * real
  x = x + params["position"].astype(dtype)
  for layer in range(2):
    h = _layer_norm(params[f"norm_{layer}"], x, dtype) * real
    h = convolution(params[f"conv_{layer}"], h, dtype)
    x = x + linear(params[f"dense_{layer}"], jax.nn.gelu(h), dtype)
  batch, length, width = x.shape
  x = jnp.reshape(x * real, (batch, length // PATCH, PATCH * width))
  return linear(params["merge"], x, dtype), real.reshape(batch, -1, PATCH).any(-1)
