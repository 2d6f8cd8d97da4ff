"""Attention masks, described by a few numbers per token instead of a matrix of all pairs.

`Tokens` holds these numbers; `Rule` maps the tokens of queries and keys to a boolean mask. Every attention
backend reads this description. It is grouped, merged and sharded along tokens like any other array, and any
block of the mask can be computed from the tokens of its rows and columns alone.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from stale_jax.errors import UserError

# Stream numbers; the senses are numbered from 1.
TEXT, EMOJI = 0, -1


@flax.struct.dataclass
class Tokens:
  """The properties of tokens that a `Rule` reads. An array with a batch axis of 1 broadcasts over the batch.

  Attributes:
    real: False for padding, which is never visible.
    stream: TEXT, EMOJI or the number of a sense.
    frame: index of the last frame that the token covers; -1 for text and the emoji, which have no time.
    independent_senses: whether the senses of this example do not attend to one another
      (`Context.independent_senses`). Keys from another example with this flag are visible only to queries
      of the same sense.
  """

  real: Bool[Array, "batch *tokens"]
  stream: Int[Array, "batch *tokens"]
  frame: Int[Array, "batch *tokens"]
  independent_senses: Bool[Array, "batch *tokens"]


def stream_tokens(
  real: Bool[Array, "batch time place"],
  stream: int,
  frames: Int[np.ndarray, "time"] | int = -1,
  independent_senses: Bool[Array, "batch"] | None = None,
) -> Tokens:
  """The tokens of one stream.

  Fields that are equal for all examples are NumPy arrays with a batch axis of 1, so that they are known while
  a program is traced.

  Args:
    real: False for padding.
    stream: TEXT, EMOJI or the number of a sense.
    frames: last frame that the tokens of each time step cover; -1 for streams without time.
    independent_senses: see `Tokens`; None: False for every example.
  """
  _, time, place = real.shape

  def fixed(x):
    return np.broadcast_to(x, (1, time, place))

  return Tokens(
    real=real,
    stream=fixed(stream),
    frame=fixed(np.reshape(frames, (-1, 1))),
    independent_senses=fixed(False)
    if independent_senses is None
    else jnp.broadcast_to(independent_senses[:, None, None], real.shape),
  )


def join(streams: dict[str, Tokens], batch: int | None = None) -> Tokens:
  """Concatenates the tokens of all streams to [batch, tokens].

  Args:
    streams: stream -> tokens [batch or 1, time, place].
    batch: size of the batch axis of the result; None: the largest among the streams, 1 if no field differs
      between examples.
  """

  def joined(*x):
    np_or_jnp = np if all(isinstance(part, np.ndarray) for part in x) else jnp
    rows = batch or max(len(part) for part in x)
    flat = [np_or_jnp.reshape(part, (len(part), -1)) for part in x]
    return np_or_jnp.concatenate([np_or_jnp.broadcast_to(part, (rows, part.shape[1])) for part in flat], 1)

  return jax.tree.map(joined, *streams.values())


def known(streams: dict[str, Tokens]) -> Tokens:
  """What is known of the tokens while a program is traced, joined: NumPy arrays [1, tokens].

  `real` is True where a token is known to be real in every example, `independent_senses` where it may be True
  in one. `stream` and `frame` are traced if those of `streams` are.
  """

  def flat(x, unknown: bool):
    if not isinstance(x, np.ndarray):
      return np.full((1, *x.shape[1:]), unknown)
    return (np.any if unknown else np.all)(x, 0, keepdims=True)

  return join(
    {
      name: of.replace(real=flat(of.real, False), independent_senses=flat(of.independent_senses, True))
      for name, of in streams.items()
    }
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
  """Computes attention masks. By default attention is full. Text is visible to every query but the emoji.

  Attributes:
    causal: no query except the emoji sees a later frame. Text sees only text; otherwise it would pass
      information from later frames on to earlier ones.
    window: a query sees keys fewer than `window` frames before it (and, if not causal, after it); 0: all.
    sinks: number of first frames that are visible to every query, whatever the window.

  Raises:
    UserError: `window` or `sinks` is negative, or `sinks` is set without a window.
  """

  causal: bool = False
  window: int = 0
  sinks: int = 0

  def __post_init__(self):
    if self.window < 0 or self.sinks < 0:
      raise UserError(f"attention window={self.window}, sinks={self.sinks}: both must be 0 or more.")
    if self.sinks and not self.window:
      raise UserError(f"attention sinks={self.sinks} are for a window: set window, or leave sinks out.")

  def __call__(self, q: Tokens, k: Tokens) -> Bool[Array, "batch to from"]:
    """The mask: True where the query token of `q` sees the key token of `k`."""

    def pairs(of_q, of_k):
      return of_q[:, :, None], of_k[:, None]

    real = k.real[:, None]
    q_stream, k_stream = pairs(q.stream, k.stream)
    # An independent sense sees itself and the caption. The caption then sees no sense, since it would pass on
    # what it sees.
    q_independent, k_independent = pairs(q.independent_senses, k.independent_senses)
    seen = real & (~(q_independent | k_independent) | (q_stream == k_stream) | (k_stream == TEXT))
    # The emoji sees every sense but not the text. No other token sees the emoji, so it changes no output.
    emoji = q_stream == EMOJI
    seen = (emoji & real & (k_stream != TEXT)) | (~emoji & seen & (k_stream != EMOJI))
    q_frame, k_frame = pairs(q.frame, k.frame)
    if self.causal:
      seen &= (k_frame <= q_frame) | emoji
    if self.window:
      near = abs(q_frame - k_frame) < self.window
      seen &= near | (k_frame < self.sinks) | (q_frame < 0)  # Text keys, at frame -1, count as sinks.
    return seen
