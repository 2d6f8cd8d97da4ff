"""Who sees whom, said in a few numbers a token and not in a matrix of all pairs.

Every attention backend reads this one description: it can be cut along tokens as they are, and any
block of the matrix follows from the tokens of its rows and columns.
"""

import dataclasses

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from stale_jax.errors import UserError


@flax.struct.dataclass
class Tokens:
  """What a rule asks of tokens.

  Attributes:
    real: padding is seen by nobody.
    frame: a number in time; -1 for text, which is of no time.
    place: a number within the frame; -1 for what is of no place, such as text or sound.
  """

  real: Bool[Array, "batch|1 tokens"]
  frame: Int[Array, "batch|1 tokens"]
  place: Int[Array, "batch|1 tokens"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
  """Full attention, unless its fields say otherwise; text is always seen.

  Attributes:
    causal: nobody sees a later frame; text sees text alone, for it would pass on what it saw.
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

  def __call__(self, q: Tokens, k: Tokens) -> Bool[Array, "batch|1 to from"]:
    """Whether each token of `q` sees each of `k`."""
    now, then = q.frame[:, :, None], k.frame[:, None]
    seen = k.real[:, None] & jnp.ones_like(now, bool)
    if self.causal:
      seen = seen & (then <= now)
    if self.window:
      near = jnp.abs(now - then) < self.window
      seen = seen & (near | (then < self.sinks) | (now < 0))  # Text, at -1, is before every sink.
    if self.along:
      a, b = (x.place if self.along == "time" else x.frame for x in (q, k))
      a, b = a[:, :, None], b[:, None]
      seen = seen & ((a == b) | (a < 0) | (b < 0))
    return seen
