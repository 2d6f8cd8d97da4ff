"""Keys and values that the tokens of a clip attend to besides their own."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array

from stale_jax.models.kv_cache import KVCache
from stale_jax.models.visibility import Tokens


@dataclasses.dataclass(frozen=True)
class Past:
  """The frames before those of a clip, as its blocks need them.

  Attributes:
    cache: their keys and values.
    angles, tokens: stream -> those of its past and present keys together.
  """

  cache: KVCache
  angles: dict[str, Array]
  tokens: dict[str, Tokens]

  def slots(self, stream: str) -> int:
    """How many times of that stream the cache has room for."""
    return next(iter(self.cache.keys.values()))[stream].shape[1]

  def before(self, block: str, k: dict[str, Array], v: dict[str, Array]):
    """Past keys and values of that block before the present ones; the caption has no past."""

    def both(past, now):
      return {n: jnp.concatenate([past[n], x], 1) if n in past else x for n, x in now.items()}

    return both(self.cache.keys[block], k), both(self.cache.values[block], v)


@dataclasses.dataclass(frozen=True)
class Both:
  """Past frames, and in front of them more keys that were made of the angles and tokens of both."""

  past: Past
  more: Past

  @property
  def angles(self) -> dict[str, Array]:
    """Of all keys."""
    return self.more.angles

  @property
  def tokens(self) -> dict[str, Tokens]:
    """Of all keys."""
    return self.more.tokens

  def before(self, block: str, k: dict[str, Array], v: dict[str, Array]):
    """All keys and values of that block."""
    return self.more.before(block, *self.past.before(block, k, v))


def with_more(past: Past | None, more_keys: Callable[..., Past], angles: dict, tokens: dict):
  """What `more_keys` makes of the clip's own `angles` and `tokens`, or of these and the past ones."""
  if past is None:
    return more_keys(angles, tokens)
  return Both(past, more_keys(past.angles, past.tokens))
