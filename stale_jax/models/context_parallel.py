"""Context parallelism: exact attention over tokens sharded along mesh axes, by all-to-all, ring, or both.

*Ulysses* (DeepSpeed Ulysses, arXiv 2309.14509): an all-to-all gives each device all tokens of its share of
the heads, and a second one sends the outputs back. *Ring* (Ring Attention, arXiv 2310.01889): keys and values
travel around a ring of devices, and the partial outputs are combined by their log normalisers, as in flash
attention. Their composition, heads within a host and tokens between hosts, is the 2-D scheme of USP
(arXiv 2405.07719).

Both wrap a *local* attention on one device (`exact` or a kernel), which also returns the log of its softmax
normaliser. These functions run inside `jax.shard_map`.
"""

import functools

import jax
import jax.numpy as jnp

from stale_jax.models.exact_attention import Attention


def _join(a, b):
  """Combines the (output, log normaliser) of two disjoint sets of keys into those of their union."""
  total = jnp.logaddexp(a[1], b[1])
  wa, wb = (jnp.exp(x[1] - total)[..., None].astype(a[0].dtype) for x in (a, b))
  return wa * a[0] + wb * b[0], total


def ring(local: Attention, axis: str) -> Attention:
  """Ring attention over keys sharded along the mesh axis `axis`.

  The next block of keys is sent while the current one is attended to. The backward pass recomputes each
  block.
  """
  local = jax.checkpoint(local)

  def attend(q, k, v, of_q, of_k):
    size = jax.lax.axis_size(axis)
    onward = [(i, (i + 1) % size) for i in range(size)]

    def pass_on(x):
      return jax.tree.map(lambda x: jax.lax.ppermute(x, axis, onward), x)

    def body(carry, _):
      (k, v, of_k), result = carry
      arriving = pass_on((k, v, of_k))
      return (arriving, _join(result, local(q, k, v, of_q, of_k))), None

    first = local(q, k, v, of_q, of_k)
    # Accumulate in float32, the dtype of the normaliser.
    result = first[0].astype(first[1].dtype), first[1]
    if size > 1:
      (last, result), _ = jax.lax.scan(body, (pass_on((k, v, of_k)), result), length=size - 2)
      k, v, of_k = last
      result = _join(result, local(q, k, v, of_q, of_k))
    return result[0].astype(q.dtype), result[1]

  return attend


def ulysses(inner: Attention, axis: str) -> Attention:
  """Runs `inner` on all tokens of a share of the heads, exchanged by all-to-all along the mesh axis `axis`.

  The size of `axis` must divide the number of heads.
  """

  def attend(q, k, v, of_q, of_k):
    swap = functools.partial(jax.lax.all_to_all, axis_name=axis, tiled=True)
    q, k, v = (swap(x, split_axis=2, concat_axis=1) for x in (q, k, v))
    gather = functools.partial(jax.lax.all_gather, axis_name=axis, axis=1, tiled=True)
    of_q, of_k = jax.tree.map(gather, (of_q, of_k))
    out, normaliser = inner(q, k, v, of_q, of_k)
    return jax.tree.map(lambda x: swap(x, split_axis=1, concat_axis=2), (out, normaliser))

  return attend
