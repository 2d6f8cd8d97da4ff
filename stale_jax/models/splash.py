"""The TPU's attention kernel (splash attention, of JAX's Pallas library), under the rules of `visibility`.

It never holds a row of probabilities whole, and skips blocks of the matrix in which nobody is seen;
which these are, the rule says before the program runs. Padding is told to it by segments.
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

# Of a block of queries and of keys: what the kernel's authors found fast for long sequences.
_BLOCK = 512
# So many blocks of keys at the most share one kernel for all three gradients.
_FUSED = 8
# Heads are this wide or wider, in lanes of the vector unit.
_LANES = 128


@dataclasses.dataclass(frozen=True, eq=False)
class _Mask(masks.Mask):
  """`rule` over tokens that are all real, a block of the matrix at a time."""

  rule: Rule
  tokens: Tokens

  @property
  def shape(self):
    return (self.tokens.stream.shape[1],) * 2

  def __getitem__(self, index):
    return self.rule(*(jax.tree.map(lambda x, i=i: x[:, i], self.tokens) for i in index))[0]


def _mask(rule: Rule, tokens: Tokens) -> masks.Mask:
  n = tokens.stream.shape[1]
  everyone = rule == Rule() and not tokens.independent_senses.any() and (tokens.stream != EMOJI).all()
  return masks.FullMask((n, n)) if everyone else _Mask(rule, tokens)


def splash(rule: Rule, tokens: Tokens) -> Attention:
  """Attention among `tokens`, [batch or 1, n], in this order; on anything but a TPU it is interpreted.

  Raises:
    UserError: who sees whom differs from example to example by more than padding.
  """
  fixed = (tokens.stream, tokens.frame, tokens.place, tokens.independent_senses)
  if not all(isinstance(x, np.ndarray) for x in fixed):
    raise UserError(
      "model.attention=splash needs a model of one sense; of several, some examples have independent ones."
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

    def laid(x):
      x = jnp.pad(x, ((0, 0), (0, missing), (0, 0), (0, -width % _LANES)))
      return x.swapaxes(1, 2)

    names = ("block_q", "block_kv", "block_kv_compute", "block_q_dkv", "block_kv_dkv", "block_kv_dkv_compute")
    # The fused kernel writes a gradient of all queries for each block of keys, to be added up afterwards:
    # 2.1 GiB a layer of four heads at 33 thousand tokens.
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
    # Whoever is not real is of another segment than all who ask.
    real = jnp.pad(of_k.real, ((0, 0), (0, missing))).astype(jnp.int32)
    segments = kernel.SegmentIds(q=jnp.ones_like(real), kv=real)
    out = jax.vmap(run)(laid(q * width**-0.5), laid(k), laid(v), segments)
    return out.swapaxes(1, 2)[:, :n, :, :width], None

  return attend
