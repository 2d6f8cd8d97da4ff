"""Token mixers: the part of a block that moves information between tokens.

A block does not depend on the kind of attention: it calls a mixer, which declares its own parameters. This
file contains the protocol and joint attention; `forms.TwoForms` is another mixer.
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jax.typing import DTypeLike
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
from stale_jax.models.entropy import scaled_keys
from stale_jax.models.extra_keys import ExtraKeys
from stale_jax.models.lanes import Lane
from stale_jax.models.layers import rotary_jitter
from stale_jax.models.parameters import Draws
from stale_jax.models.visibility import Rule, Tokens, join


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenLayout:
  """The positions, masks and shapes of a clip's tokens, which are the same in every block.

  Attributes:
    angles: stream -> rotary angles, [tokens, head_width / 2] or [batch, tokens, head_width / 2].
    tokens: stream -> `visibility.Tokens`; this dictionary defines the order of the streams.
    shapes: stream -> (time steps, places per time step).
    timed: names of the senses of the clip.
    placed: names of the senses whose tokens have a position in space.
    size: number of original tokens that each token stands for after merging (`merging`), over the tokens of
      all streams; None: 1 each.
    extra: extra keys and values to attend to, applied in order.
    trained: stream -> shape in training, if attention is scaled to the number of tokens (`entropy`); None:
      it is not scaled.
  """

  angles: dict[str, Array]
  tokens: dict[str, Tokens]
  shapes: Shapes
  timed: tuple[str, ...]
  placed: tuple[str, ...]
  size: Float[Array, "batch tokens"] | None = None
  extra: tuple[ExtraKeys, ...] = ()
  trained: Shapes | None = None


@runtime_checkable
class Stack(Protocol):
  """Stacks the declarations of one block's parameters over all blocks of a model."""

  def __call__(self, trees: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Stacks declarations that exist once per stream.

    Args:
      trees: stream -> part -> declarations; streams of one lane have equal ones.
      prefix: prefix of the parameter paths within a block.

    Returns:
      `{lane}_{part}` -> declarations, stacked over layers and over the streams of the lane.
    """

  def alone(self, tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Stacks over layers declarations that exist once per block."""


@runtime_checkable
class Mixer(Protocol):
  """Mixes information between the tokens of all streams."""

  def parameters(self, widths: dict[str, int], condition_width: int, stack: Stack) -> dict[str, Any]:
    """Declares the mixer's stacked parameters.

    Args:
      widths: stream -> width.
      condition_width: width of the conditions.
      stack: stacks declarations over the blocks.
    """

  def __call__(
    self,
    params: dict[str, Any],
    lanes: tuple[Lane, ...],
    entered: dict[str, Array],
    condition: Float[Array, "batch 1 condition_width"],
    layout: TokenLayout,
    block: str,
    draws: Draws | None,
  ) -> tuple[dict[str, Float[Array, "batch _time _place heads head_width"]], dict[str, Any]]:
    """Applies the mixer.

    Args:
      params: the parameters of one layer.
      lanes: the lanes of the clip.
      entered: lane -> normed and modulated tokens, [batch, time, place, width]; a lane of several streams has
        a leading axis for them.
      condition: the condition of the caption's stream.
      layout: positions, masks and shapes of the tokens.
      block: the name of the block, under which extra keys are stored.
      draws: PRNG keys for training; None when sampling.

    Returns:
      (stream -> attended values, name -> auxiliary outputs of the block).
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointAttention:
  """One attention over all tokens of all streams (MMDiT: Stable Diffusion 3, arXiv 2403.03206).

  Attributes:
    heads, head_width: number and width of the attention heads.
    dtype: dtype of the computation.
    backend: see `attention.attend`.
    causal: whether attention is causal in frames (`visibility.Rule`).
    rope_jitter: relative spread of the heads' temporal rotary bases (`layers.rotary_jitter`); 0: equal bases.
  """

  heads: int
  head_width: int
  dtype: DTypeLike = jnp.float32
  backend: str = "auto"
  causal: bool = False
  rope_jitter: float = 0.0

  def parameters(self, widths: dict[str, int], condition_width: int, stack: Stack) -> dict[str, Any]:
    """See `Mixer`."""
    sizes = self.heads, self.head_width
    return stack({name: projection_parameters(width, *sizes) for name, width in widths.items()})

  def __call__(self, params, lanes, entered, condition, layout: TokenLayout, block: str, draws):
    """See `Mixer`.

    The auxiliary outputs are "keys" (before the rotary embedding) and "values", sense -> [batch, time, place,
    heads, head_width]; if the tokens have sizes, "probabilities" [batch, heads, to, from] instead.
    """
    q, k, v = project(params, lanes, entered, self.heads, self.head_width, self.dtype, layout.tokens)
    if layout.size is not None:
      q, k, v = map(concat_streams, (apply_rotary(q, layout.angles), apply_rotary(k, layout.angles), v))
      tokens = join(layout.tokens, len(condition))
      attended, p = proportional_attention(q, k, v, Rule()(tokens, tokens), layout.size)
      return split_streams(attended, layout.shapes), {"probabilities": p}
    aux = {
      "keys": {name: k[name] for name in layout.timed},
      "values": {name: v[name] for name in layout.timed},
    }
    angles, seen = layout.angles, None
    for extra in layout.extra:
      k, v = extra.extend(block, k, v)
      angles, seen = extra.angles, extra.tokens
    k = k if layout.trained is None else scaled_keys(k, layout.trained)
    jitter = rotary_jitter(self.heads, self.head_width, self.rope_jitter) if self.rope_jitter else None
    q, k, rule = (
      apply_rotary(q, layout.angles, jitter),
      apply_rotary(k, angles, jitter),
      Rule(causal=self.causal),
    )
    return attend(q, k, v, layout.tokens, self.backend, rule, seen), aux
