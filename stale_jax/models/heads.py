"""Output heads, which read the streams after the last block.

The output of every sense is always computed. Other heads run only if requested by name; each declares its own
parameters and may add a stream of its own to the blocks. The transformer holds them as a tuple of `Head`s.
"""

import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
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
  """The inputs of the heads.

  Attributes:
    streams: stream -> tokens after the last block, [batch, time, place, width].
    modulated: sense -> its tokens after the last block, normed and modulated.
    conditions: stream -> conditions for the modulation, [batch, time, condition_width].
    tokens: stream -> `visibility.Tokens`.
    senses: the senses of the clip.
  """

  streams: dict[str, Array]
  modulated: dict[str, Array]
  conditions: dict[str, Array]
  tokens: dict[str, Tokens]
  senses: tuple[Sense, ...]


@runtime_checkable
class Head(Protocol):
  """A head that runs only if requested.

  Attributes:
    name: the name under which it is requested: a Flax collection of `Transformer`.
    stream: (name, width) of the stream that the head adds to the blocks; None: no stream.
  """

  name: str
  stream: tuple[str, int] | None

  def parameters(
    self, senses: tuple[Sense, ...], widths: dict[str, int], condition_width: int
  ) -> dict[str, Any]:
    """Declares the parameters of the head, without those of its stream in the blocks."""

  def enter(self, params: dict[str, Any], inputs: Inputs) -> Inputs:
    """Adds the head's stream and conditions to the inputs of the trunk."""

  def __call__(self, params: dict[str, Any], final: Final, key: PRNGKeyArray | None) -> dict[str, Array]:
    """Computes the outputs of the head by name; `key` is the PRNG key of training, None when sampling."""


def values_of(sense: Sense) -> int:
  """The number of values of `sense` in one token."""
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
  """Norms, shifts and scales the streams of `lanes` by their conditions: stream -> tokens."""

  def modulate_stream(params, x, conditions):
    shift, scale = jnp.split(linear(params["modulation"], jax.nn.silu(conditions), dtype), 2, -1)
    return modulate(x, shift, scale)

  out = {
    lane.key: lane.map(modulate_stream)(
      lane.parameters(params, "modulation"), lane.join(streams), lane.join(conditions)
    )
    for lane in lanes
  }
  return split(lanes, out)


def output_parameters(senses: tuple[Sense, ...], widths: dict[str, int], name: str = "out") -> dict[str, Any]:
  """Declares the parameters of `output`, `{sense}_{name}`."""
  return {
    f"{sense.name}_{name}": stacked(
      linear_parameters(widths[sense.name], values_of(sense), ZEROS), [f"{sense.name}_{name}"]
    )
    for sense in senses
  }


def output(params, final: Final, dtype, name: str = "out") -> dict[str, Float[Array, "batch frames *shape"]]:
  """Projects the tokens of each sense to its values and unpatchifies them, by the layers `{sense}_{name}`."""

  def project(sense):
    tokens = linear(params[f"{sense.name}_{name}"], final.modulated[sense.name], dtype)
    return unpatchify(tokens, sense).astype(jnp.float32)

  return {sense.name: project(sense) for sense in final.senses}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CopyMask:
  """A mask in [0, 1] for each value: the share that the network's output contributes (`objectives.artv`).

  Attributes:
    dtype: dtype of the computation.
  """

  dtype: DTypeLike = jnp.float32
  name = "mask"
  stream = None

  def parameters(self, senses, widths, condition_width) -> dict[str, Any]:
    """See `Head`."""
    return output_parameters(senses, widths, self.name)

  def enter(self, params, inputs: Inputs) -> Inputs:
    """See `Head`. Nothing is added."""
    return inputs

  def __call__(self, params, final: Final, key) -> dict[str, Array]:
    """See `Head`. Returns sense -> mask, [batch, frames, *shape]."""

    def gate(name, logits):
      sense_key = None if key is None else named_key(key, f"{name}_throw", 1)
      # Stretching and clipping the sigmoid lets it reach 0 and 1: a hard concrete gate (arXiv 1712.01312).
      return jnp.clip(1.2 * jax.nn.sigmoid(concrete(sense_key, logits)) - 0.1, 0, 1)

    return {name: gate(name, x) for name, x in output(params, final, self.dtype, self.name).items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
  """Scores of a clip's labels, computed from the emoji token or from the mean of each sense's tokens.

  Attributes:
    labels: number of scores: one per class of each label.
    emoji: the character of the token from which the scores are computed (`models.emoji`); "": from the means.
      The token sees every sense but not the caption, and no other token sees it, so it changes no output.
    width: width of the emoji token or of the pooled state.
    dtype: dtype of the computation.
  """

  labels: int
  emoji: str
  width: int
  dtype: DTypeLike = jnp.float32
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
    emoji_condition = condition(params, self._lane, features, inputs.pooled, self.dtype)
    inputs = dataclasses.replace(inputs, conditions={**inputs.conditions, "emoji": emoji_condition})
    if not self.emoji:
      return inputs
    batch = len(features)
    token = jnp.broadcast_to(
      emoji_vector(self.emoji, self.width).astype(self.dtype), (batch, 1, 1, self.width)
    )
    tokens = stream_tokens(np.ones((batch, 1, 1), bool), EMOJI)
    angles = np.zeros_like(inputs.angles["text"][:1])
    return dataclasses.replace(
      inputs,
      streams={**inputs.streams, "emoji": token},
      angles={**inputs.angles, "emoji": angles},
      tokens={**inputs.tokens, "emoji": tokens},
    )

  def __call__(self, params, final: Final, key) -> dict[str, Array]:
    """See `Head`. Returns "labels" -> scores, [batch, labels]."""
    if self.emoji:
      x = final.streams["emoji"]
    else:
      states = {s.name: _mean(norm(final.streams[s.name]), final.tokens[s.name].real) for s in final.senses}
      x = sum(linear(params[f"{name}_pooled"], state, self.dtype) for name, state in states.items())
    x = modulated(params, (self._lane,), {"emoji": x}, final.conditions, self.dtype)["emoji"]
    return {"labels": linear(params["scores"], x, self.dtype)[:, 0, 0].astype(jnp.float32)}


def _mean(x: Float[Array, "batch time place width"], real) -> Float[Array, "batch 1 1 width"]:
  """The mean over the tokens where `real`, [batch, time, place], is True; 0 if there are none."""
  weight = real[..., None].astype(x.dtype)
  return jnp.sum(x * weight, (1, 2), keepdims=True) / jnp.maximum(jnp.sum(weight, (1, 2), keepdims=True), 1)
