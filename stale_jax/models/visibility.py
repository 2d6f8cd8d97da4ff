"""Who sees whom, said in a few numbers a token and not in a matrix of all pairs.

Every kind of attention reads this one description: it can be grouped, merged and cut along tokens as
they are, and any block of the matrix follows from the tokens of its rows and columns.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from stale_jax.errors import UserError

# Streams by number: the senses follow the text.
TEXT, EMOJI = 0, -1


@flax.struct.dataclass
class Tokens:
  """What a rule asks of tokens; a batch of 1 stands for any.

  Attributes:
    real: padding is seen by nobody.
    stream: TEXT, EMOJI or the number of a sense.
    frame: the last that a token covers; -1 for text, which is of no time.
    place: a number within the frame; -1 for what is of no place, such as text or sound.
    independent_senses: whether this example's senses do not attend to one another
      (`Context.independent_senses`). Keys of another example with this flag are visible to their own sense
      only.
  """

  real: Bool[Array, "batch *tokens"]
  stream: Int[Array, "batch *tokens"]
  frame: Int[Array, "batch *tokens"]
  place: Int[Array, "batch *tokens"]
  independent_senses: Bool[Array, "batch *tokens"]


def stream_tokens(
  real: Bool[Array, "batch time place"],
  stream: int,
  frames: Int[np.ndarray, "time"] | int = -1,
  placed: bool = False,
  independent_senses: Bool[Array, "batch"] | None = None,
) -> Tokens:
  """Those of one stream: `frames` is the last frame of each time; are its places places?

  What holds for every example alike is NumPy's: known while a program is traced.
  """
  _, time, place = real.shape

  def fixed(x):
    return np.broadcast_to(x, (1, time, place))

  return Tokens(
    real=real,
    stream=fixed(stream),
    frame=fixed(np.reshape(frames, (-1, 1))),
    place=fixed(np.arange(place) if placed else -1),
    independent_senses=fixed(False)
    if independent_senses is None
    else jnp.broadcast_to(independent_senses[:, None, None], real.shape),
  )


def join(streams: dict[str, Tokens], batch: int | None = None) -> Tokens:
  """Those of all streams in turn, [batch, tokens]: of so many examples, or of 1 where all are alike."""

  def joined(*x):
    np_or_jnp = np if all(isinstance(part, np.ndarray) for part in x) else jnp
    rows = batch or max(len(part) for part in x)
    flat = [np_or_jnp.reshape(part, (len(part), -1)) for part in x]
    return np_or_jnp.concatenate([np_or_jnp.broadcast_to(part, (rows, part.shape[1])) for part in flat], 1)

  return jax.tree.map(joined, *streams.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
  """Full attention, unless its fields say otherwise; text is always seen.

  Attributes:
    causal: nobody but the emoji sees a later frame; text sees text alone, for it would pass on what it saw.
    window: how many frames back (and, if not causal, forth) are seen, one's own among them; 0: all.
    sinks: so many first frames are seen from everywhere, whatever the window.
    along: "time": among tokens of one place; "space": of one frame; "": among all. What is of no
      place or of no time shares everyone's (as `models.forms`).
  """

  causal: bool = False
  window: int = 0
  sinks: int = 0
  along: str = ""

  def __post_init__(self):
    if self.window < 0 or self.sinks < 0:
      raise UserError(f"attention window={self.window}, sinks={self.sinks}: neither can be negative.")
    if self.sinks and not self.window:
      raise UserError(f"attention sinks={self.sinks} are for a window, and there is none.")
    if self.along not in ("", "time", "space"):
      raise UserError(f"attention along={self.along!r}: it is 'time', 'space' or ''.")

  def __call__(self, q: Tokens, k: Tokens) -> Bool[Array, "batch to from"]:
    """Whether each token of `q` sees each of `k`."""

    def both(asking, asked):
      return asking[:, :, None], asked[:, None]

    real = k.real[:, None]
    of, to = both(q.stream, k.stream)
    # An independent sense sees itself and the caption, which then sees no sense; the others do not see it.
    own, its = both(q.independent_senses, k.independent_senses)
    seen = real & (~(own | its) | (of == to) | (to == TEXT))
    # The emoji sees every sense and not the text; whoever saw it would see through it what it sees.
    emoji = of == EMOJI
    seen = (emoji & real & (to != TEXT)) | (~emoji & seen & (to != EMOJI))
    now, then = both(q.frame, k.frame)
    if self.causal:
      seen &= (then <= now) | emoji
    if self.window:
      near = abs(now - then) < self.window
      seen &= near | (then < self.sinks) | (now < 0)  # Text, at -1, is before every sink.
    if self.along:
      a, b = both(q.place, k.place) if self.along == "time" else (now, then)
      seen &= (a == b) | (a < 0) | (b < 0)
    return seen
