"""Exact attention over tokens that are cut along axes of the mesh: all-to-all, ring, and both.

*Ulysses* (DeepSpeed Ulysses, arXiv 2309.14509): an all-to-all hands every device all tokens of its
share of the heads, and another takes the answer back. *Ring* (Ring Attention, arXiv 2310.01889): the
keys go round, a device at a time, and the partial answers are joined by their normalisers, as in
flash attention. Their composition, heads within a host and tokens between hosts, is the 2-D scheme
of USP (arXiv 2405.07719).

What is called local here sees whole blocks and returns, with its answer, the logarithm of its
normaliser: the dense one below, or a kernel. These functions are for the inside of `jax.shard_map`.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stale_jax.models.visibility import Rule, Tokens

# In place of minus infinity, whose differences are not numbers.
_NONE = -1e30

# (q, k, v, tokens of q, tokens of k) -> the answer and the log of its normaliser; None where none is asked.
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


def softmax_attention(
  q: Float[Array, "batch to heads width"],
  k: Float[Array, "batch from heads width"],
  v: Float[Array, "batch from heads width"],
  seen: Bool[Array, "batch to from"],
  bias: Float[Array, "batch from"] | None = None,
) -> tuple[
  Float[Array, "batch to heads width"], Float[Array, "batch heads to"], Float[Array, "batch heads to from"]
]:
  """All pairs at once, softmax in float32 at least; who sees nobody answers 0.

  On the CPU each pass over all pairs costs as much as a product: they are masked once, and what comes
  out is normalised in their place.

  Args:
    q, k, v: of the tokens.
    seen: by whom which.
    bias: added to the logits of each key.

  Returns:
    The answer, the logarithm of its normaliser, and the probabilities, which cost nothing where unused.
  """
  q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
  dtype = jnp.promote_types(q.dtype, jnp.float32)
  logits = jnp.einsum("bhqd,bhkd->bhqk", q, k, preferred_element_type=dtype)
  logits = logits if bias is None else logits + bias[:, None, None]
  logits = jnp.where(seen[:, None], logits, _NONE)
  # Never as low as the logits of those who are not seen: even where there are no others these come to 0.
  top = jnp.maximum(jax.lax.stop_gradient(logits.max(-1)), _NONE / 2)
  weight = jnp.exp(logits - top[..., None])
  total = weight.sum(-1)
  alone = total == 0
  total = jnp.where(alone, 1, total)
  out = jnp.einsum("bhqk,bhkd->bhqd", weight.astype(v.dtype), v) / total[..., None]
  normaliser = jnp.where(alone, _NONE, top + jnp.log(total))
  return out.astype(v.dtype).swapaxes(1, 2), normaliser, weight / total[..., None]


def dense(rule: Rule) -> Attention:
  """`softmax_attention` under `rule`."""

  def attend(q, k, v, of_q, of_k):
    # Traced: NumPy would make the matrix of all pairs here and now, 5 GiB at 75 thousand tokens.
    out, normaliser, _ = softmax_attention(q, k, v, rule(*jax.tree.map(jnp.asarray, (of_q, of_k))))
    return out, normaliser.swapaxes(1, 2)

  return attend


def _join(a, b):
  """The answer to the union of two disjoint sets of keys."""
  total = jnp.logaddexp(a[1], b[1])
  wa, wb = (jnp.exp(x[1] - total)[..., None].astype(a[0].dtype) for x in (a, b))
  return wa * a[0] + wb * b[0], total


def ring(local: Attention, axis: str) -> Attention:
  """`local`, over keys that are cut along `axis`; each block is computed again for its gradient.

  The next block is on its way while this one is attended to.
  """
  local = jax.checkpoint(local)

  def attend(q, k, v, of_q, of_k):
    size = jax.lax.axis_size(axis)
    onward = [(i, (i + 1) % size) for i in range(size)]

    def pass_on(x):
      return jax.tree.map(lambda x: jax.lax.ppermute(x, axis, onward), x)

    def body(carry, _):
      (k, v, of_k), found = carry
      arriving = pass_on((k, v, of_k))
      return (arriving, _join(found, local(q, k, v, of_q, of_k))), None

    first = local(q, k, v, of_q, of_k)
    # In float32, which many small parts are added up in.
    found = first[0].astype(first[1].dtype), first[1]
    if size > 1:
      (last, found), _ = jax.lax.scan(body, (pass_on((k, v, of_k)), found), length=size - 2)
      k, v, of_k = last
      found = _join(found, local(q, k, v, of_q, of_k))
    return found[0].astype(q.dtype), found[1]

  return attend


def ulysses(inner: Attention, axis: str) -> Attention:
  """`inner`, given all tokens along `axis` of a share of the heads, which `axis` must divide."""

  def attend(q, k, v, of_q, of_k):
    swap = functools.partial(jax.lax.all_to_all, axis_name=axis, tiled=True)
    q, k, v = (swap(x, split_axis=2, concat_axis=1) for x in (q, k, v))
    everyone = functools.partial(jax.lax.all_gather, axis_name=axis, axis=1, tiled=True)
    of_q, of_k = jax.tree.map(everyone, (of_q, of_k))
    out, normaliser = inner(q, k, v, of_q, of_k)
    return jax.tree.map(lambda x: swap(x, split_axis=1, concat_axis=2), (out, normaliser))

  return attend
