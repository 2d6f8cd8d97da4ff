"""The senses of sources that draw their clips."""

from collections.abc import Mapping, Sequence

from stale_jax.clip import Sense


def drawn_senses(
  size: tuple[int, int],
  side: int,
  channels: Mapping[str, Sequence[str]],
  *,
  rate: float,
  patch: int,
) -> dict[str, Sense]:
  """Sight in colour, and senses whose frames are vectors, by name.

  Args:
    size: height and width of the pictures.
    side: height and width of what one token covers of a picture.
    channels: names of the channels of each sense besides sight.
    rate: frames per second.
    patch: number of frames that one token covers.
  """

  def sense(name, names, shape=(), patches=()):
    names = tuple(names)
    return Sense(name=name, shape=(*shape, len(names)), rate=rate, patch=(patch, *patches), channels=names)

  sight = sense("sight", ("red", "green", "blue"), size, (side, side))
  return {"sight": sight, **{name: sense(name, names) for name, names in channels.items()}}
