"""Keys and values that the tokens of a clip attend to besides their own: earlier frames, other clips.

Every kind of them serves one protocol, `ExtraKeys`, and several can be chained: each is made from the angles
and tokens of the keys so far, and puts its own in front.
"""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from stale_jax.clip import Sense
from stale_jax.models.kv_cache import KVCache
from stale_jax.models.layers import rotary_angles
from stale_jax.models.patches import positions
from stale_jax.models.visibility import Tokens, stream_tokens

Streams = dict[str, Array]


@runtime_checkable
class ExtraKeys(Protocol):
  """What joint attention needs to know of more keys than there are queries.

  Attributes:
    angles: stream -> rotary angles of all its keys.
    tokens: stream -> the tokens of all its keys, [batch or 1, time, place].
  """

  angles: Streams
  tokens: dict[str, Tokens]

  def extend(self, block: str, keys: Streams, values: Streams) -> tuple[Streams, Streams]:
    """Keys and values of that block with the extra ones in front; keys are not yet turned."""


# (angles, tokens) of the keys so far -> what comes before them.
MoreKeys = Callable[[Streams, dict[str, Tokens]], ExtraKeys]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Past:
  """The frames before those of a clip, kept in a cache. The caption has no past.

  Attributes:
    cache: their keys and values.
    own_angles, own_tokens: stream -> those of the clip's own tokens, which come after the past.
    angles, tokens: see `ExtraKeys`.
  """

  cache: KVCache
  own_angles: Streams
  own_tokens: dict[str, Tokens]
  angles: Streams
  tokens: dict[str, Tokens]

  def extend(self, block: str, keys: Streams, values: Streams) -> tuple[Streams, Streams]:
    """See `ExtraKeys`."""

    def both(past, now):
      return {n: jnp.concatenate([past[n], x], 1) if n in past else x for n, x in now.items()}

    return both(self.cache.keys[block], keys), both(self.cache.values[block], values)


def past_keys(
  cache: KVCache, senses: tuple[Sense, ...], head_width: int, angles: Streams, tokens: dict[str, Tokens]
) -> Past:
  """The frames in `cache`, before the streams `senses` of a clip with those `tokens`."""
  own, mine, every, seen = dict(angles), dict(tokens), dict(angles), dict(tokens)
  for sense in senses:
    name, now, each = sense.name, tokens[sense.name], sense.patch[0]
    batch, time, place = now.real.shape
    slots = next(iter(cache.keys.values()))[name].shape[1]
    # Empty slots come first: without them the window begins at position 0, as a clip does.
    empty = slots * each - cache.frames
    turned = rotary_angles(positions(sense, (slots + time) * each), head_width)
    every[name] = turned - empty * rotary_angles(np.eye(1, 3), head_width)
    own[name] = every[name][slots * place :]
    filled = jnp.broadcast_to((jnp.arange(slots) * each >= empty)[:, None], (batch, slots, place))
    frames = (np.arange(slots + time) + 1) * each - 1
    mine[name] = dataclasses.replace(now, frame=now.frame + slots * each)
    seen[name] = stream_tokens(
      jnp.concatenate([filled, now.real], 1),
      int(now.stream.flat[0]),
      frames,
      placed=len(sense.shape) > 1,
      independent_senses=None
      if isinstance(now.independent_senses, np.ndarray)
      else now.independent_senses[:, 0, 0],
    )
  return Past(cache=cache, own_angles=own, own_tokens=mine, angles=every, tokens=seen)
