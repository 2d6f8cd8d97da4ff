"""Slightly wrong conditions in training (Chen et al., arXiv 2405.20494).

A little corruption of captions keeps a model from taking them too literally: its samples
gain entropy and come closer to the data. Either captions are wrong now and then, or their
embedding always is, by a little (condition embedding perturbation, CEP).
"""

import dataclasses
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from stale_jax.clip import Context
from stale_jax.fields import check_fields, number


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConditionCorruption:
  """How wrong conditions are in training; in sampling they never are.

  Attributes:
    captions: eta, the share of examples whose caption is another's of the same batch.
    embedding: gamma of CEP, the norm of the noise on every text token (models/perturbation.py); 1 is usual.
  """

  captions: float = number(0.0, least=0, most=1)
  embedding: float = number(0.0, least=0)

  def __post_init__(self):
    check_fields(self, "corruption")

  def swap(self, context: Context, key: PRNGKeyArray) -> Context:
    """`context` with that share of captions replaced by others of the batch; one alone stays."""
    if not self.captions:
      return context
    key_which, key_whose = jax.random.split(key)
    size = len(context.text)
    which = jax.random.uniform(key_which, (size,)) < self.captions
    other = (jnp.arange(size) + jax.random.randint(key_whose, (size,), 1, max(size, 2))) % size
    return context.replace(text=jnp.where(which[:, None], context.text[other], context.text))


def forget(context: Context, micro: Sequence[str], share: float, key: PRNGKeyArray) -> Context:
  """`context` in which of that share of examples each of these micro-conditions, by itself, is not known."""
  every, gone = {"fps": context.fps, "motion": context.motion}, {}
  for name in micro:
    known = every[name]
    drawn = jax.random.uniform(jax.random.fold_in(key, zlib.crc32(name.encode())), known.shape)
    gone[name] = jnp.where(drawn < share, jnp.nan, known)
  return context.replace(**gone)
