"""Mixers: how the tokens of all streams hear of one another in a block.

A block knows no attention; it is given a mixer, which brings its own parameters. This file has the protocol
and joint attention; `forms.TwoForms` is another mixer.
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.models.attention import (
  Shapes,
  apply_rotary,
  attend,
  concat_streams,
  project,
  projection_parameters,
  proportional_attention,
  split_streams,
)
from stale_jax.models.extra_keys import ExtraKeys
from stale_jax.models.lanes import Lane
from stale_jax.models.layers import rotary_jitter
from stale_jax.models.parameters import Draws
from stale_jax.models.visibility import Rule, Tokens, join


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenLayout:
  """Everything about the tokens of a clip but their content: the same in every block.

  Attributes:
    angles: stream -> rotary angles, [*batch, tokens, head_width / 2].
    tokens: stream -> what a rule asks of them, in the order of the streams.
    shapes: stream -> (times, places).
    timed, placed: the senses; and those whose tokens have a place.
    size: how many tokens each token of all streams in turn stands for, [batch, tokens]; None: one.
    extra: what the tokens attend to besides one another.
  """

  angles: dict[str, Array]
  tokens: dict[str, Tokens]
  shapes: Shapes
  timed: tuple[str, ...]
  placed: tuple[str, ...]
  size: Float[Array, "batch tokens"] | None = None
  extra: tuple[ExtraKeys, ...] = ()


@runtime_checkable
class Stack(Protocol):
  """How a model stacks declarations of its blocks."""

  def __call__(self, trees: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """stream -> part -> declarations, as `{lane}_{part}`, stacked over layers and the streams of a lane."""

  def alone(self, tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Declarations that no stream has, stacked over layers."""


@runtime_checkable
class Mixer(Protocol):
  """From the streams at the entry of a block to what each token has heard of the others."""

  def parameters(self, widths: dict[str, int], condition_width: int, stack: Stack) -> dict[str, Any]:
    """Declares the mixer's parameters, stacked, for streams of those widths."""

  def __call__(
    self,
    params: dict[str, Any],
    lanes: tuple[Lane, ...],
    entered: dict[str, Array],
    condition: Float[Array, "batch 1 condition_width"],
    layout: TokenLayout,
    block: str,
    draws: Draws | None,
  ) -> tuple[dict[str, Float[Array, "batch time place heads head_width"]], dict[str, Any]]:
    """Returns (stream -> attended values, whatever else is to be told of the block by name).

    Args:
      params: of one layer.
      lanes: of the clip.
      entered: lane -> normed and modulated tokens, [streams if several, batch, time, place, width].
      condition: the caption's, with the frames' times on average.
      where: of the tokens.
      block: the block's name, by which extra keys know it.
      draws: keys of what training draws; None in sampling.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointAttention:
  """One attention among all tokens of all streams (MMDiT: Stable Diffusion 3, arXiv 2403.03206).

  Attributes:
    heads, head_width: of attention.
    dtype: of the computation.
    backend: of `attention.BACKENDS`.
    causal: whether no token sees a later frame.
    rope_jitter: spread of the heads' rotary bases over time.
  """

  heads: int
  head_width: int
  dtype: jnp.dtype = jnp.float32
  backend: str = "xla"
  causal: bool = False
  rope_jitter: float = 0.0

  def parameters(self, widths: dict[str, int], condition_width: int, stack: Stack) -> dict[str, Any]:
    """See `Mixer`."""
    own = {name: projection_parameters(width, self.heads, self.head_width) for name, width in widths.items()}
    return stack(own)

  def __call__(self, params, lanes, entered, condition, layout: TokenLayout, block: str, draws):
    """See `Mixer`. Tells the keys and values of the senses; or where tokens have sizes the probabilities."""
    q, k, v = project(params, lanes, entered, self.heads, self.head_width, self.dtype, layout.tokens)
    if layout.size is not None:
      q, k, v = map(concat_streams, (apply_rotary(q, layout.angles), apply_rotary(k, layout.angles), v))
      every = join(layout.tokens, len(condition))
      attended, p = proportional_attention(q, k, v, Rule()(every, every), layout.size)
      return split_streams(attended, layout.shapes), {"probabilities": p}
    aux = {
      "keys": {name: k[name] for name in layout.timed},
      "values": {name: v[name] for name in layout.timed},
    }
    angles, seen = layout.angles, None
    for extra in layout.extra:
      k, v = extra.extend(block, k, v)
      angles, seen = extra.angles, extra.tokens
    jitter = rotary_jitter(self.heads, self.head_width, self.rope_jitter) if self.rope_jitter else None
    q, k, rule = (
      apply_rotary(q, layout.angles, jitter),
      apply_rotary(k, angles, jitter),
      Rule(causal=self.causal),
    )
    return attend(q, k, v, layout.tokens, self.backend, rule, seen), aux
