"""Extra keys and values for joint attention: those of earlier frames or of other clips.

Each kind implements the protocol `ExtraKeys`. Several can be chained: each is built from the angles and
tokens of all keys so far and prepends its own.
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
from stale_jax.models.patches import sense_angles
from stale_jax.models.visibility import Tokens, stream_tokens

Streams = dict[str, Array]


@runtime_checkable
class ExtraKeys(Protocol):
  """Keys and values that are prepended to those of a clip. Queries are unchanged.

  Attributes:
    angles: stream -> rotary angles of all keys, extra ones first: [*batch, keys, head_width / 2].
    tokens: stream -> tokens of all keys in the same order, [batch or 1, time, place].
  """

  angles: Streams
  tokens: dict[str, Tokens]

  def extend(self, block: str, keys: Streams, values: Streams) -> tuple[Streams, Streams]:
    """Prepends the extra keys and values.

    Args:
      block: the name of the block, for example "block_0".
      keys: stream -> keys before the rotary embedding, [batch, time, place, heads, head_width].
      values: stream -> values, likewise.

    Returns:
      (keys, values) with the extra ones first.
    """


# (angles, tokens) of all keys so far -> the extra keys to prepend to them.
MoreKeys = Callable[[Streams, dict[str, Tokens]], ExtraKeys]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Past:
  """The cached keys and values of the frames before a clip, as `ExtraKeys`. The caption has none.

  Attributes:
    cache: keys and values of the past frames.
    own_angles: stream -> rotary angles of the clip's own tokens, at their positions after the past frames.
    own_tokens: stream -> the clip's own tokens, with frame numbers that continue those of the past.
    angles, tokens: of all keys, see `ExtraKeys`.
  """

  cache: KVCache
  own_angles: Streams
  own_tokens: dict[str, Tokens]
  angles: Streams
  tokens: dict[str, Tokens]

  def extend(self, block: str, keys: Streams, values: Streams) -> tuple[Streams, Streams]:
    """See `ExtraKeys`."""

    def prepend(past, now):
      return {n: jnp.concatenate([past[n], x], 1) if n in past else x for n, x in now.items()}

    return prepend(self.cache.keys[block], keys), prepend(self.cache.values[block], values)


def past_keys(
  cache: KVCache, senses: tuple[Sense, ...], head_width: int, angles: Streams, tokens: dict[str, Tokens]
) -> Past:
  """Places a clip after the frames in `cache`.

  Args:
    cache: keys and values of the past frames.
    senses: the senses of the clip.
    head_width: width of an attention head.
    angles: stream -> rotary angles of the clip's tokens, as if the clip began at time 0.
    tokens: stream -> the clip's tokens, as if it began at frame 0.
  """
  own_angles, own_tokens, all_angles, all_tokens = dict(angles), dict(tokens), dict(angles), dict(tokens)
  keys, batch = next(iter(cache.keys.values())), len(cache.frames)
  empty = keys[senses[0].name].shape[1] * senses[0].patch[0] - cache.frames
  for sense in senses:
    name, now, each = sense.name, tokens[sense.name], sense.patch[0]
    _, time, place = now.real.shape
    slots = keys[name].shape[1]
    all_angles[name] = sense_angles(sense, (slots + time) * each, head_width)
    own_angles[name] = all_angles[name][slots * place :]
    is_filled = (jnp.arange(slots) * each >= empty[:, None])[..., None]
    real = [jnp.broadcast_to(x, (batch, x.shape[1], place)) for x in (is_filled, now.real)]
    frames = (np.arange(slots + time) + 1) * each - 1
    own_tokens[name] = dataclasses.replace(now, frame=now.frame + slots * each)
    all_tokens[name] = stream_tokens(
      jnp.concatenate(real, 1),
      int(now.stream.flat[0]),
      frames,
      independent_senses=None
      if isinstance(now.independent_senses, np.ndarray)
      else now.independent_senses[:, 0, 0],
    )
  # Empty slots come first, so in a row with `empty` of them the window begins at frame `empty`. Streams
  # without time, such as the caption, are moved there. Rotary attention depends on differences of positions
  # alone, so this equals a window that begins at frame 0, like a clip in training, and the angles of the
  # senses are the same for all rows.
  begin = empty[:, None, None] * rotary_angles(np.eye(1, 3), head_width)
  for name in angles.keys() - {sense.name for sense in senses}:
    all_angles[name] = own_angles[name] = angles[name] + begin
  return Past(cache=cache, own_angles=own_angles, own_tokens=own_tokens, angles=all_angles, tokens=all_tokens)
