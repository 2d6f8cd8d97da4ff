"""Slightly corrupted conditions in training (Chen et al., arXiv 2405.20494).

Mild corruption of the captions keeps a model from following them too literally: its samples gain entropy and
come closer to the data. Either a share of the examples has a wrong caption, or every caption's embedding
carries a little noise (condition embedding perturbation, CEP).
"""

import dataclasses
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from stale_jax.clip import Context
from stale_jax.fields import check_fields, number


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConditionCorruption:
  """Corruption of the conditions in training; sampling does not corrupt them.

  Attributes:
    captions: eta, the share of examples that take the caption of another example of the batch.
    embedding: gamma of CEP, the norm of the noise on every text token (`models.perturbation`); 1 is usual.
  """

  captions: float = number(0.0, least=0, most=1)
  embedding: float = number(0.0, least=0, most=1000)

  def __post_init__(self):
    check_fields(self, "corruption")

  def swap(self, context: Context, key: PRNGKeyArray) -> Context:
    """Replaces a share of the captions by captions of other examples; a batch of one keeps its caption."""
    if not self.captions:
      return context
    key_is_swapped, key_offset = jax.random.split(key)
    size = len(context.text)
    is_swapped = jax.random.uniform(key_is_swapped, (size,)) < self.captions
    other = (jnp.arange(size) + jax.random.randint(key_offset, (size,), 1, max(size, 2))) % size
    return context.replace(text=jnp.where(is_swapped[:, None], context.text[other], context.text))


def kept_encoders(
  shares: tuple[float, ...], batch: int, key: PRNGKeyArray
) -> Bool[Array, "{batch} {len(shares)}"]:
  """Which text encoders read the caption of each example (`Context.encoders`).

  Args:
    shares: the probability that each encoder is dropped, independently of the others.
    batch: number of examples.
    key: PRNG key.
  """
  return jax.random.uniform(key, (batch, len(shares))) >= jnp.asarray(shares)


def forget(context: Context, micro: Sequence[str], share: float, key: PRNGKeyArray) -> Context:
  """Drops micro-conditions: each one is unknown (NaN) in a share of the examples, independently.

  Args:
    context: the context of a batch.
    micro: names of the micro-conditions that the network reads, "fps" or "motion".
    share: probability that a micro-condition is dropped.
    key: PRNG key.
  """
  values, dropped = {"fps": context.fps, "motion": context.motion}, {}
  for name in micro:
    uniform = jax.random.uniform(jax.random.fold_in(key, zlib.crc32(name.encode())), values[name].shape)
    dropped[name] = jnp.where(uniform < share, jnp.nan, values[name])
  return context.replace(**dropped)
