"""The TPU attention kernel (splash attention, from JAX's Pallas library) under the masks of `visibility`.

The kernel never materialises the attention matrix and skips blocks in which every pair is masked. The rule
determines these blocks before the program runs. Padding is masked by segment ids.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

from stale_jax.errors import UserError
from stale_jax.mesh import device_kind
from stale_jax.models.context_parallel import Attention
from stale_jax.models.visibility import EMOJI, Rule, Tokens

# Block size of queries and keys: a value that the kernel's authors found fast for long sequences.
_BLOCK = 512
# The largest number of key blocks for which one fused kernel computes all three gradients.
_FUSED = 8
# Heads are padded to a multiple of the vector unit's lanes.
_LANES = 128


@dataclasses.dataclass(frozen=True, eq=False)
class _Mask(masks.Mask):
  """The mask of `rule`, computed one block at a time; all tokens count as real."""

  rule: Rule
  tokens: Tokens

  @property
  def shape(self):
    return (self.tokens.stream.shape[1],) * 2

  def __getitem__(self, index):
    return self.rule(*(jax.tree.map(lambda x, i=i: x[:, i], self.tokens) for i in index))[0]


def _mask(rule: Rule, tokens: Tokens) -> masks.Mask:
  n = tokens.stream.shape[1]
  full = rule == Rule() and not tokens.independent_senses.any() and (tokens.stream != EMOJI).all()
  return masks.FullMask((n, n)) if full else _Mask(rule, tokens)


def splash(rule: Rule, tokens: Tokens) -> Attention:
  """Self-attention by the splash kernel. On devices other than a TPU the kernel is interpreted.

  Args:
    rule: the attention mask.
    tokens: tokens of the queries and the keys in their order, [batch or 1, n].

  Returns:
    Attention without a log normaliser.

  Raises:
    UserError: the mask differs between examples by more than padding.
  """
  fixed = (tokens.stream, tokens.frame, tokens.place, tokens.independent_senses)
  if not all(isinstance(x, np.ndarray) for x in fixed):
    raise UserError(
      "model.attention=splash needs a model of one sense, since with several the mask of an example depends "
      "on its independent_senses: set 'xla'."
    )
  n = tokens.stream.shape[1]
  block = min(_BLOCK, -(-n // _LANES) * _LANES)
  missing = -n % block

  def padded(x):
    return np.pad(x[:1], ((0, 0), (0, missing)))

  stream, frame, place, independent_senses = map(padded, fixed)
  known = Tokens(
    real=np.ones_like(independent_senses),
    stream=stream,
    frame=frame,
    place=place,
    independent_senses=independent_senses,
  )

  def attend(q, k, v, of_q, of_k):
    heads, width = q.shape[2:]

    def kernel_layout(x):
      x = jnp.pad(x, ((0, 0), (0, missing), (0, 0), (0, -width % _LANES)))
      return x.swapaxes(1, 2)

    names = ("block_q", "block_kv", "block_kv_compute", "block_q_dkv", "block_kv_dkv", "block_kv_dkv_compute")
    # The fused kernel writes a gradient of all queries for each block of keys, which are summed afterwards:
    # 2.1 GiB for a layer of four heads at 33 thousand tokens.
    fused = n <= _FUSED * block
    names += () if fused else ("block_q_dq", "block_kv_dq")
    sizes = kernel.BlockSizes(**dict.fromkeys(names, block), use_fused_bwd_kernel=fused)
    run = kernel.make_splash_mha(
      masks.MultiHeadMask([_mask(rule, known)] * heads),
      block_sizes=sizes,
      head_shards=1,
      q_seq_shards=1,
      interpret=not device_kind().startswith("TPU"),
    )
    # Padding keys get another segment id than every query.
    real = jnp.pad(of_k.real, ((0, 0), (0, missing))).astype(jnp.int32)
    segments = kernel.SegmentIds(q=jnp.ones_like(real), kv=real)
    out = jax.vmap(run)(kernel_layout(q * width**-0.5), kernel_layout(k), kernel_layout(v), segments)
    return out.swapaxes(1, 2)[:, :n, :, :width], None

  return attend
