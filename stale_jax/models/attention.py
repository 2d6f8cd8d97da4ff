"""Attention: what queries, keys and values are made of, and who attends to whom."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stale_jax.models.layers import Dense, rotate


class RMSNorm(nn.Module):
  """Root-mean-square norm of the last axis with a learned scale (QK-norm)."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x):
    scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
    y = x * jax.lax.rsqrt(jnp.mean(jnp.square(x.astype(jnp.float32)), -1, keepdims=True) + 1e-6)
    return (y * scale).astype(self.dtype)


def project(streams, angles, heads: int, head_width: int, dtype):
  """Queries, keys and values [batch, tokens, heads, head_width] of the tokens of all streams in turn.

  For use inside a compact module, whose own the layers become. `angles`: name -> as for `rotate`.
  """
  queries, keys, values = [], [], []
  for name, x in streams.items():
    qkv = Dense(3 * heads * head_width, dtype=dtype, name=f"{name}_qkv")(x)
    q, k, v = jnp.split(jnp.reshape(qkv, (x.shape[0], -1, 3 * heads, head_width)), 3, 2)
    queries.append(rotate(RMSNorm(dtype, name=f"{name}_query_norm")(q), angles[name]))
    keys.append(rotate(RMSNorm(dtype, name=f"{name}_key_norm")(k), angles[name]))
    values.append(v)
  return tuple(jnp.concatenate(parts, 1) for parts in (queries, keys, values))


def proportional_attention(
  q: Float[Array, "batch to heads width"],
  k: Float[Array, "batch from heads width"],
  v: Float[Array, "batch from heads width"],
  mask: Bool[Array, "batch to|1 from"],
  size: Float[Array, "batch from"],
) -> tuple[Float[Array, "batch to heads width"], Float[Array, "batch heads to from"]]:
  """Attention to tokens each of which stands for `size` equal ones, and its probabilities.

  softmax(q k / sqrt(width) + log size): Bolya et al., Token Merging, arXiv 2210.09461, eq. 1.
  Where all sizes are 1 it is ordinary attention; a size of 0 is a token that is not there.
  """
  logits = jnp.einsum("bqhd,bkhd->bhqk", q, k).astype(jnp.float32) * q.shape[-1] ** -0.5
  seen = mask & (size > 0)[:, None]
  logits = logits + jnp.log(jnp.where(size > 0, size, 1))[:, None, None]
  p = jax.nn.softmax(jnp.where(seen[:, None], logits, jnp.finfo(jnp.float32).min), -1)
  return jnp.einsum("bhqk,bkhd->bqhd", p.astype(v.dtype), v), p
