"""Softmax attention in plain JAX, which runs on every device: dense for short sequences, in blocks for long.

The blocked form is flash attention (Dao, arXiv 2307.08691) as loops over blocks of queries and keys. It never
holds logits of all pairs, and it skips pairs of blocks in which no query sees a key.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stale_jax.models.visibility import Rule, Tokens

# The most queries or keys for which attention is dense.
DENSE = 2048
# Queries and keys in a block of blocked attention.
_BLOCK = 512
# Used for masked logits instead of -inf, since inf - inf is NaN.
_NONE = -1e30

# (q, k, v, tokens of q, tokens of k) -> (output, log of its normaliser); None from backends without one.
Attention = Callable[
  [
    Float[Array, "batch to heads width"],
    Float[Array, "batch from heads width"],
    Float[Array, "batch from heads width"],
    Tokens,
    Tokens,
  ],
  tuple[Float[Array, "batch to heads width"], Float[Array, "batch to heads"] | None],
]


def exact(rule: Rule) -> Attention:
  """Attention under `rule` in float32 or wider: `dense`, or `blocked` for more than DENSE queries or keys."""

  def attend(q, k, v, of_q, of_k):
    attention = dense if max(q.shape[1], k.shape[1]) <= DENSE else blocked
    return attention(rule)(q, k, v, of_q, of_k)

  return attend


def softmax_attention(
  q: Float[Array, "batch to heads width"],
  k: Float[Array, "batch from heads width"],
  v: Float[Array, "batch from heads width"],
  seen: Bool[Array, "batch to from"],
  bias: Float[Array, "batch from"] | None = None,
) -> tuple[
  Float[Array, "batch to heads width"], Float[Array, "batch heads to"], Float[Array, "batch heads to from"]
]:
  """Dense softmax attention, in float32 or wider. Queries with no visible key return 0.

  On the CPU each pass over all pairs costs as much as a matrix product, so the logits are masked once and the
  output is normalised instead of the probabilities.

  Args:
    q, k, v: queries, keys and values.
    seen: the mask, True where a query sees a key.
    bias: added to the logits of each key.

  Returns:
    (output, log of the softmax normaliser, probabilities). XLA removes the probabilities if they are unused.
  """
  q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
  dtype = jnp.promote_types(q.dtype, jnp.float32)
  logits = jnp.einsum("bhqd,bhkd->bhqk", q, k, preferred_element_type=dtype)
  logits = logits if bias is None else logits + bias[:, None, None]
  logits = jnp.where(seen[:, None], logits, _NONE)
  # Keeps the maximum far above _NONE, so that exp(masked logit - top) is 0 even if every key is masked.
  top = jnp.maximum(jax.lax.stop_gradient(logits.max(-1)), _NONE / 2)
  weight = jnp.exp(logits - top[..., None])
  total = weight.sum(-1)
  sees_none = total == 0
  total = jnp.where(sees_none, 1, total)
  out = jnp.einsum("bhqk,bhkd->bhqd", weight.astype(v.dtype), v) / total[..., None]
  normaliser = jnp.where(sees_none, _NONE, top + jnp.log(total))
  return out.astype(v.dtype).swapaxes(1, 2), normaliser, weight / total[..., None]


def dense(rule: Rule) -> Attention:
  """Dense attention under `rule`: `softmax_attention` as an `Attention`."""

  def attend(q, k, v, of_q, of_k):
    # As JAX arrays: from NumPy tokens the mask would become a constant of the program.
    out, normaliser, _ = softmax_attention(q, k, v, rule(*jax.tree.map(jnp.asarray, (of_q, of_k))))
    return out, normaliser.swapaxes(1, 2)

  return attend


def blocked(rule: Rule) -> Attention:
  """Flash attention under `rule`: memory is linear in the numbers of queries and keys, also for gradients.

  The values are those of `dense` up to the order of summation.
  """

  def attend(q, k, v, of_q, of_k):
    return _blocked(rule, q, k, v, *jax.tree.map(jnp.asarray, (of_q, of_k)))

  return attend


# From a scan over the blocks of a network, JAX moves out what is equal in all iterations: here, the masks of
# all pairs. It moves a checkpoint as a whole or not at all.
_whole = functools.partial(jax.checkpoint, static_argnums=0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _blocked(rule: Rule, q, k, v, of_q: Tokens, of_k: Tokens):
  return _forward(rule, q, k, v, of_q, of_k)[0]


@_whole
def _forward(rule: Rule, q, k, v, of_q: Tokens, of_k: Tokens):
  """The forward rule; the loop over blocks of queries is the outer one."""
  scale, dtype = q.shape[-1] ** -0.5, jnp.promote_types(q.dtype, jnp.float32)
  queries, keys = (_cut(q * scale), _cut_tokens(of_q)), (_cut(k), _cut(v), _cut_tokens(of_k))
  meets = _meeting(rule, queries[1], keys[2])

  def of_queries(block):
    q, of_q, meets = block
    # Derived from q, so that a loop inside `jax.shard_map` carries values that vary over the same mesh axes.
    zero = 0 * q.astype(dtype)
    empty = zero[..., 0] + _NONE / 2, zero[..., 0], zero

    def of_keys(carry, block):
      k, v, of_k, meets = block

      def add():
        top, total, out = carry
        logits = jnp.where(rule(of_q, of_k)[:, None], _products(q, k, dtype), _NONE)
        above = jnp.maximum(top, logits.max(-1))
        weight, shrink = jnp.exp(logits - above[..., None]), jnp.exp(top - above)
        values = jnp.einsum("bhqk,bhkd->bhqd", weight.astype(v.dtype), v, preferred_element_type=dtype)
        return above, total * shrink + weight.sum(-1), out * shrink[..., None] + values

      return jax.lax.cond(meets, add, lambda: carry), None

    (top, total, out), _ = jax.lax.scan(of_keys, empty, (*keys, meets))
    sees_none = total == 0
    total = jnp.where(sees_none, 1, total)
    return (out / total[..., None]).astype(v.dtype), jnp.where(sees_none, _NONE, top + jnp.log(total))

  out, normaliser = jax.lax.map(of_queries, (*queries, meets))
  out, normaliser = _joined(out, q.shape[1]), _joined(normaliser[..., None], q.shape[1])[..., 0]
  return (out, normaliser), (q, k, v, of_q, of_k, out, normaliser)


@_whole
def _backward(rule: Rule, saved, cotangents):
  """The backward rule; the loop over blocks of keys is the outer one. Probabilities are recomputed."""
  q, k, v, of_q, of_k, out, normaliser = saved
  scale, dtype = q.shape[-1] ** -0.5, jnp.promote_types(q.dtype, jnp.float32)
  d_out, d_normaliser = cotangents
  # The gradient of the logits is p (d_out . v - mean), where the mean over the keys is d_out . out.
  mean = jnp.sum(d_out.astype(dtype) * out.astype(dtype), -1) - d_normaliser
  queries = (
    *(_cut(x) for x in (q * scale, d_out)),
    *(_cut(x[..., None])[..., 0] for x in (normaliser, mean)),
    _cut_tokens(of_q),
  )
  keys = _cut(k), _cut(v), _cut_tokens(of_k)
  meets = _meeting(rule, queries[-1], keys[-1]).T

  def of_keys(d_q, block):
    k, v, of_k, meets = block
    zero = 0 * k.astype(dtype), 0 * v.astype(dtype)

    def of_queries(carry, block):
      q, d_out, normaliser, mean, of_q, d_q, meets = block

      def add():
        d_k, d_v = carry
        weight = jnp.exp(_products(q, k, dtype) - normaliser[..., None])
        weight = jnp.where(rule(of_q, of_k)[:, None], weight, 0)
        d_weight = jnp.einsum("bhqd,bhkd->bhqk", d_out, v, preferred_element_type=dtype)
        d_logits = (weight * (d_weight - mean[..., None])).astype(q.dtype)
        products = functools.partial(jnp.einsum, preferred_element_type=dtype)
        d_k_here = products("bhqk,bhqd->bhkd", d_logits, q)
        d_v_here = products("bhqk,bhqd->bhkd", weight.astype(d_out.dtype), d_out)
        return (d_k + d_k_here, d_v + d_v_here), d_q + products("bhqk,bhkd->bhqd", d_logits, k)

      return jax.lax.cond(meets, add, lambda: (carry, d_q))

    (d_k, d_v), d_q = jax.lax.scan(of_queries, zero, (*queries, d_q, meets))
    return d_q, (d_k, d_v)

  d_q, (d_k, d_v) = jax.lax.scan(of_keys, 0 * queries[0].astype(dtype), (*keys, meets))
  grads = zip((scale * d_q, d_k, d_v), (q, k, v), strict=True)
  return (*(_joined(x, like.shape[1]).astype(like.dtype) for x, like in grads), None, None)


_blocked.defvjp(_forward, _backward)


def _products(q, k, dtype):
  return jnp.einsum("bhqd,bhkd->bhqk", q, k, preferred_element_type=dtype)


def _cut(x: Float[Array, "batch tokens heads width"]) -> Float[Array, "blocks batch heads block width"]:
  """Cuts the tokens into blocks; the last one is padded with zeros."""
  batch, tokens, heads, width = x.shape
  x = jnp.pad(x, ((0, 0), (0, -tokens % _BLOCK), (0, 0), (0, 0)))
  return x.reshape(batch, -1, _BLOCK, heads, width).transpose(1, 0, 3, 2, 4)


def _joined(x: Float[Array, "blocks batch heads block width"], tokens: int):
  """Inverse of `_cut`: [batch, tokens, heads, width]."""
  x = x.transpose(1, 0, 3, 2, 4)
  return x.reshape(len(x), -1, *x.shape[3:])[:, :tokens]


def _cut_tokens(of: Tokens) -> Tokens:
  """Cuts [batch or 1, tokens] into blocks, [blocks, batch or 1, block]. Padding of the last is not real."""

  def cut(x):
    x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % _BLOCK)))
    return x.reshape(len(x), -1, _BLOCK).swapaxes(0, 1)

  return jax.tree.map(cut, of)


def _meeting(rule: Rule, queries: Any, keys: Any) -> Bool[Array, "query_blocks key_blocks"]:
  """Whether a pair of blocks may contain a visible key in any example of the batch."""
  if not rule.causal:
    return jnp.broadcast_to(keys.real.any((1, 2)), (len(queries.real), len(keys.real)))
  earliest = jnp.where(keys.real, keys.frame, jnp.iinfo(jnp.int32).max).min((1, 2))
  # The emoji sees all frames.
  latest = jnp.where(queries.stream < 0, jnp.iinfo(jnp.int32).max, queries.frame).max((1, 2))
  return (earliest <= latest[:, None]) & keys.real.any((1, 2))
