"""Attention by fused kernels, which take no mask: each query sees the first `length` keys of its example.

Any `visibility.Rule` is brought into that form. Queries that see the same keys in every example, for example
the queries of one frame under a causal rule, form a group with one call of the kernel. Its keys are the keys
that any example can see. Keys that some examples do not see (padding, dropped tokens, missing senses, other
senses of examples with independent senses) are sorted to the end and excluded by the length. So a kernel
needs neither masks nor segments, and its memory is linear in the number of tokens.
"""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jaxtyping import Array, Bool, Float, Int

from stale_jax.mesh import device_kind
from stale_jax.models.exact_attention import Attention
from stale_jax.models.visibility import Rule, Tokens

# The most runs of consecutive tokens that are picked by slices.
_RUNS = 32


@runtime_checkable
class Kernel(Protocol):
  """Full attention to the first keys of each example."""

  def __call__(
    self,
    q: Float[Array, "batch to heads width"],
    k: Float[Array, "batch from heads width"],
    v: Float[Array, "batch from heads width"],
    lengths: Int[Array, "batch"] | None,
  ) -> Float[Array, "batch to heads width"]:
    """The output of attention to the first `lengths` keys, 1 or more; None: to all keys."""


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
  """Queries that see the same keys, whatever is padding and whichever examples have independent senses.

  Attributes:
    queries: indices of the queries, ascending.
    always: indices of the keys that they see in every example, ascending.
    sometimes: indices of the keys that they may see in some examples only, ascending.
  """

  queries: Int[np.ndarray, "to"]
  always: Int[np.ndarray, "always"]
  sometimes: Int[np.ndarray, "sometimes"]


def groups(rule: Rule, of_q: Tokens, of_k: Tokens) -> list[Group]:
  """Divides the queries into groups.

  The tokens are those of `visibility.known`; the streams and frames of the queries must be NumPy arrays. If
  those of the keys are not, each kind of query is a group, and may see any key.
  """
  kind_of_query, first = _distinct(np.concatenate([of_q.stream, of_q.frame]).T)
  if not all(isinstance(x, np.ndarray) for x in (of_k.stream, of_k.frame)):
    every, none = np.arange(of_k.stream.shape[1]), np.arange(0)
    kinds = range(len(first))
    return [Group(queries=np.flatnonzero(kind_of_query == i), always=none, sometimes=every) for i in kinds]
  seen = np.stack([_seen(rule, of_q, of_k, int(query)) for query in first])
  group_of_kind, first = _distinct(seen.reshape(len(seen), -1))
  group_of_query = group_of_kind[kind_of_query]
  result = []
  for i, (apart, together) in enumerate(seen[first]):
    always, ever = apart & together & of_k.real[0], apart | together
    result.append(
      Group(
        queries=np.flatnonzero(group_of_query == i),
        always=np.flatnonzero(always),
        sometimes=np.flatnonzero(ever & ~always),
      )
    )
  return result


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The number of each row, counting distinct rows, and the index of the first row of each number."""
  numbers: dict[bytes, int] = {}
  number = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in np.ascontiguousarray(rows)])
  return number, np.unique(number, return_index=True)[1]


def _seen(rule: Rule, of_q: Tokens, of_k: Tokens, query: int) -> Bool[np.ndarray, "2 from"]:
  """The keys that a query sees if they are real: in examples with independent senses, and in the others."""
  one = jax.tree.map(lambda x: x[:, query : query + 1], of_q)

  def seen(independent: bool):
    q, k = (
      of.replace(real=np.ones_like(of.real), independent_senses=of.independent_senses & independent)
      for of in (one, of_k)
    )
    return rule(q, k)[0, 0]

  return np.stack([seen(True), seen(False)])


def by_kernel(kernel: Kernel, rule: Rule, of_q: Tokens, of_k: Tokens) -> Attention:
  """Attention under `rule` by a kernel, without a log normaliser.

  Args:
    kernel: the kernel.
    rule: the attention mask.
    of_q, of_k: what is known of the queries and keys while tracing (`visibility.known`), in their order.
  """
  parts = groups(rule, of_q, of_k)
  order = np.argsort(np.concatenate([part.queries for part in parts]), kind="stable")

  def attend(q, k, v, of_q, of_k):
    outs = [_group(kernel, rule, part, q, k, v, of_q, of_k) for part in parts]
    return _pick(jnp.concatenate(outs, 1), order), None

  return attend


def _group(kernel: Kernel, rule: Rule, group: Group, q, k, v, of_q: Tokens, of_k: Tokens):
  """The output for the queries of one group."""
  q, (always_k, always_v) = _pick(q, group.queries), (_pick(x, group.always) for x in (k, v))
  if not len(group.sometimes):
    return kernel(q, always_k, always_v, None) if len(group.always) else jnp.zeros_like(q)
  first = jax.tree.map(lambda x: x[:, group.queries[:1]], of_q)
  sees = rule(first, jax.tree.map(lambda x: _pick(x, group.sometimes), of_k))[:, 0]
  sees = jnp.broadcast_to(sees, (len(q), sees.shape[1]))
  order = jnp.argsort(~sees, 1, stable=True)
  k, v = (
    jnp.concatenate([always, _permuted(_pick(x, group.sometimes), order)], 1)
    for always, x in ((always_k, k), (always_v, v))
  )
  lengths = len(group.always) + sees.sum(1, dtype=jnp.int32)
  out = kernel(q, k, v, jnp.maximum(lengths, 1))
  return out if len(group.always) else jnp.where((lengths > 0)[:, None, None, None], out, 0)


def _pick(x, index: Int[np.ndarray, "picked"]):
  """The tokens `index` (ascending) of [batch, tokens, ...]: slices if they form few runs, else a gather."""
  runs = np.split(index, np.flatnonzero(np.diff(index) != 1) + 1)
  if len(runs) > _RUNS:
    return x[:, index] if isinstance(x, np.ndarray) else jnp.take(x, index.astype(np.int32), 1)
  slices = [x[:, run[0] : run[-1] + 1] if len(run) else x[:, :0] for run in runs]
  np_or_jnp = np if isinstance(x, np.ndarray) else jnp
  return slices[0] if len(slices) == 1 else np_or_jnp.concatenate(slices, 1)


@jax.custom_vjp
def _permuted(x: Float[Array, "batch tokens heads width"], order: Int[Array, "batch tokens"]):
  """Permutes the tokens of each example. The gradient is a permutation, not the scatter of a gather."""
  return jnp.take_along_axis(x, order[..., None, None], 1)


_permuted.defvjp(
  lambda x, order: (_permuted(x, order), order),
  lambda order, g: (_permuted(g, jnp.argsort(order, 1)), None),
)


def unfused(q, k, v, lengths):
  """Attention without a fused kernel. Logits are in memory: for counting operations, and for tests."""
  return jax.nn.dot_product_attention(q, k, v, key_value_seq_lengths=lengths, implementation="xla")


def cudnn(q, k, v, lengths):
  """The kernel of cuDNN, for GPUs. It computes in bfloat16 or float16; other dtypes are cast to bfloat16.

  Its gradient needs even numbers of queries and keys, and heads whose width is a multiple of 8.
  """
  dtype = q.dtype if q.dtype == jnp.float16 else jnp.bfloat16
  (to, _, width), n = q.shape[1:], k.shape[1]

  def padded(x):
    return jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, 0), (0, -width % 8))).astype(dtype)

  if lengths is None and n % 2:
    lengths = jnp.full(len(q), n, jnp.int32)
  out = jax.nn.dot_product_attention(
    *map(padded, (q, k, v)), scale=width**-0.5, key_value_seq_lengths=lengths, implementation="cudnn"
  )
  return out[:, :to, :, :width].astype(q.dtype)


# Block size of queries and keys: a value that the kernel's authors found fast for long sequences.
_BLOCK = 512
# The largest number of key blocks for which one fused kernel computes all three gradients. It writes a
# gradient of all queries for each block of keys, which are summed afterwards: 2.1 GiB for a layer of four
# heads at 33 thousand tokens.
_FUSED = 8
# Heads are padded to a multiple of the vector unit's lanes.
_LANES = 128


def splash(q, k, v, lengths):
  """The splash attention kernel, for TPUs; on other devices it is interpreted.

  It takes lengths as segment ids: keys beyond the length have another one than the queries.
  """
  (to, heads, width), n = q.shape[1:], k.shape[1]
  block_q, block_k = (min(_BLOCK, -(-count // _LANES) * _LANES) for count in (to, n))

  def kernel_layout(x, block):
    x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % block), (0, 0), (0, -width % _LANES)))
    return x.swapaxes(1, 2)

  fused = n <= _FUSED * block_k
  of_q, of_k = (
    ("block_q", "block_q_dkv"),
    ("block_kv", "block_kv_compute", "block_kv_dkv", "block_kv_dkv_compute"),
  )
  if not fused:
    of_q, of_k = (*of_q, "block_q_dq"), (*of_k, "block_kv_dq")
  sizes = splash_attention_kernel.BlockSizes(
    **dict.fromkeys(of_q, block_q), **dict.fromkeys(of_k, block_k), use_fused_bwd_kernel=fused
  )
  q, k, v = kernel_layout(q * width**-0.5, block_q), kernel_layout(k, block_k), kernel_layout(v, block_k)
  run = splash_attention_kernel.make_splash_mha(
    masks.MultiHeadMask([masks.FullMask((q.shape[2], k.shape[2]))] * heads),
    block_sizes=sizes,
    head_shards=1,
    q_seq_shards=1,
    interpret=not device_kind().startswith("TPU"),
  )
  segments = None
  if lengths is not None or n < k.shape[2]:
    lengths = jnp.full(len(q), n) if lengths is None else lengths
    real = (jnp.arange(k.shape[2]) < lengths[:, None]).astype(jnp.int32)
    segments = splash_attention_kernel.SegmentIds(q=jnp.ones((len(q), q.shape[2]), jnp.int32), kv=real)
  return jax.vmap(run)(q, k, v, segments).swapaxes(1, 2)[:, :to, :, :width]
