"""Heads: what is read off the streams behind the last block.

The output of every sense is always read; other heads run only where they are asked for by name, and bring
their own parameters and, if they need one, a stream of their own. The transformer knows them as a tuple of
`Head`s.
"""

import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Sense
from stale_jax.models.emoji import emoji_vector
from stale_jax.models.inputs import Inputs, condition, condition_parameters
from stale_jax.models.lanes import Lane, split
from stale_jax.models.layers import linear, linear_parameters, modulate, norm
from stale_jax.models.parameters import ZEROS, named_key, stacked
from stale_jax.models.patches import unpatchify
from stale_jax.models.perturbation import concrete
from stale_jax.models.visibility import EMOJI, Tokens, stream_tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class Final:
  """What heads read.

  Attributes:
    streams: behind the last block, [batch, time, place, width].
    modulated: the senses', normed and modulated.
    conditions: stream -> [batch, time, condition_width].
    tokens: stream -> its tokens.
    senses: of the clip.
  """

  streams: dict[str, Array]
  modulated: dict[str, Array]
  conditions: dict[str, Array]
  tokens: dict[str, Tokens]
  senses: tuple[Sense, ...]


@runtime_checkable
class Head(Protocol):
  """A head that runs where it is asked for.

  Attributes:
    name: by which it is asked for.
    stream: (name, width) of the stream that it adds to the blocks; None: none.
  """

  name: str
  stream: tuple[str, int] | None

  def parameters(
    self, senses: tuple[Sense, ...], widths: dict[str, int], condition_width: int
  ) -> dict[str, Any]:
    """Declares its parameters but for those of its stream in the blocks."""

  def enter(self, params: dict[str, Any], inputs: Inputs) -> Inputs:
    """The inputs of the trunk with what the head adds."""

  def __call__(self, params: dict[str, Any], final: Final, key: PRNGKeyArray | None) -> dict[str, Array]:
    """What it reads, by name; `key` is of what training perturbs."""


def values_of(sense: Sense) -> int:
  """How many numbers a token of that sense stands for."""
  return math.prod(sense.patch) * sense.shape[-1]


def modulation_parameters(
  lanes: tuple[Lane, ...], widths: dict[str, int], condition_width: int
) -> dict[str, Any]:
  """Declares the parameters of `modulated`."""
  return {
    f"{lane.stored}_modulation": lane.stack(
      linear_parameters(condition_width, 2 * widths[lane.key], ZEROS), "modulation"
    )
    for lane in lanes
  }


def modulated(
  params, lanes: tuple[Lane, ...], streams: dict[str, Array], conditions: dict[str, Array], dtype
) -> dict[str, Array]:
  """Each stream of `lanes`, normed, shifted and scaled as its condition says."""

  def one(own, x, given):
    shift, scale = jnp.split(linear(own["modulation"], jax.nn.silu(given), dtype), 2, -1)
    return modulate(x, shift, scale)

  out = {
    lane.key: lane.map(one)(lane.parameters(params, "modulation"), lane.join(streams), lane.join(conditions))
    for lane in lanes
  }
  return split(lanes, out)


def output_parameters(senses: tuple[Sense, ...], widths: dict[str, int], name: str = "out") -> dict[str, Any]:
  """Declares the parameters of `output`, under that name."""
  return {
    f"{sense.name}_{name}": stacked(
      linear_parameters(widths[sense.name], values_of(sense), ZEROS), [f"{sense.name}_{name}"]
    )
    for sense in senses
  }


def output(params, final: Final, dtype, name: str = "out") -> dict[str, Float[Array, "batch frames *shape"]]:
  """One number for each value of the clip, by the layer of that name."""

  def one(sense):
    tokens = linear(params[f"{sense.name}_{name}"], final.modulated[sense.name], dtype)
    return unpatchify(tokens, sense).astype(jnp.float32)

  return {sense.name: one(sense) for sense in final.senses}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CopyMask:
  """How much of each value of the output is to be the network's own, from 0 to 1 (`objectives.artv`).

  Attributes:
    dtype: of the computation.
  """

  dtype: jnp.dtype = jnp.float32
  name = "mask"
  stream = None

  def parameters(self, senses, widths, condition_width) -> dict[str, Any]:
    """See `Head`."""
    return output_parameters(senses, widths, self.name)

  def enter(self, params, inputs: Inputs) -> Inputs:
    """See `Head`: nothing is added."""
    return inputs

  def __call__(self, params, final: Final, key) -> dict[str, Array]:
    """See `Head`: sense -> shares, [batch, frames, *shape]."""

    def one(name, logits):
      own = None if key is None else named_key(key, f"{name}_throw", 1)
      # A sigmoid is never 0; stretched and cut it can be: a hard concrete gate (arXiv 1712.01312).
      return jnp.clip(1.2 * jax.nn.sigmoid(concrete(own, logits)) - 0.1, 0, 1)

    return {name: one(name, x) for name, x in output(params, final, self.dtype, self.name).items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
  """Scores of a clip's labels, read off one token or off the mean of each sense's tokens.

  Attributes:
    labels: how many.
    emoji: the character of the token that they are read off (`models.emoji`); "": off the means. The token
      sees every sense, not the caption, and is seen by none: it changes no output.
    width: of the state that they are read off.
    dtype: of the computation.
  """

  labels: int
  emoji: str
  width: int
  dtype: jnp.dtype = jnp.float32
  name = "scores"

  @property
  def stream(self) -> tuple[str, int] | None:
    """See `Head`."""
    return ("emoji", self.width) if self.emoji else None

  @property
  def _lane(self) -> Lane:
    return Lane(stored="emoji", members=("emoji",))

  def parameters(self, senses, widths, condition_width) -> dict[str, Any]:
    """See `Head`."""
    pooled = (
      {}
      if self.emoji
      else {
        f"{s.name}_pooled": stacked(linear_parameters(widths[s.name], self.width), [f"{s.name}_pooled"])
        for s in senses
      }
    )
    return {
      **condition_parameters((self._lane,), condition_width, {}),
      **modulation_parameters((self._lane,), {"emoji": self.width}, condition_width),
      **pooled,
      "scores": stacked(linear_parameters(self.width, self.labels), ["scores"]),
    }

  def enter(self, params, inputs: Inputs) -> Inputs:
    """See `Head`."""
    features = inputs.features.mean(1, keepdims=True)
    given = condition(params, self._lane, features, inputs.pooled, self.dtype)
    inputs = dataclasses.replace(inputs, conditions={**inputs.conditions, "emoji": given})
    if not self.emoji:
      return inputs
    batch = len(features)
    token = jnp.broadcast_to(
      emoji_vector(self.emoji, self.width).astype(self.dtype), (batch, 1, 1, self.width)
    )
    tokens = stream_tokens(jnp.ones((batch, 1, 1), bool), EMOJI)
    angles = np.zeros_like(inputs.angles["text"][:1])
    return dataclasses.replace(
      inputs,
      streams={**inputs.streams, "emoji": token},
      angles={**inputs.angles, "emoji": angles},
      tokens={**inputs.tokens, "emoji": tokens},
    )

  def __call__(self, params, final: Final, key) -> dict[str, Array]:
    """See `Head`: "labels" -> scores, [batch, labels]."""
    if self.emoji:
      x = final.streams["emoji"]
    else:
      states = {s.name: _mean(norm(final.streams[s.name]), final.tokens[s.name].real) for s in final.senses}
      x = sum(linear(params[f"{name}_pooled"], state, self.dtype) for name, state in states.items())
    x = modulated(params, (self._lane,), {"emoji": x}, final.conditions, self.dtype)["emoji"]
    return {"labels": linear(params["scores"], x, self.dtype)[:, 0, 0].astype(jnp.float32)}


def _mean(x: Float[Array, "batch time place width"], real) -> Float[Array, "batch 1 1 width"]:
  """Over the real tokens, which `real` [batch, time, place] marks."""
  weight = real[..., None].astype(x.dtype)
  return jnp.sum(x * weight, (1, 2), keepdims=True) / jnp.maximum(jnp.sum(weight, (1, 2), keepdims=True), 1)
