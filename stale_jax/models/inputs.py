"""The embedding: turns a clip, its diffusion times and its context into the inputs of the trunk."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Clip, Context, EncodedText, Sense
from stale_jax.models.lanes import Lane, of_clip
from stale_jax.models.layers import TIME_FEATURES, linear, linear_parameters, rotary_angles, time_features
from stale_jax.models.micro import micro_condition, micro_parameters
from stale_jax.models.parameters import named_key, stacked
from stale_jax.models.patches import patchify, sense_angles
from stale_jax.models.perturbation import drop_tokens, embedding_noise
from stale_jax.models.text import PATCH, encode_text, text_parameters
from stale_jax.models.visibility import TEXT, Tokens, stream_tokens
from stale_jax.models.words import encode_words, word_parameters
from stale_jax.text import drop

ENCODERS = ("bytes", "words")  # Text encoders, in the order of their tokens.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
  """The inputs of the trunk.

  Attributes:
    streams: tokens of the caption ("text", one time step) and of each sense, [batch, time, place, width].
    conditions: stream -> conditions for the modulation, [batch, time, condition_width].
    angles: stream -> rotary angles, [tokens, head_width / 2], as if the clip began at frame 0.
    tokens: stream -> `visibility.Tokens`, [batch or 1, time, place].
    features: sinusoidal features of each frame's diffusion time, [batch, frames, TIME_FEATURES].
    pooled: the sum of the pooled caption's and the micro-conditions' vectors, [batch, 1, condition_width].
  """

  streams: dict[str, Array]
  conditions: dict[str, Array]
  angles: dict[str, Array]
  tokens: dict[str, Tokens]
  features: Float[Array, "batch frames features"]
  pooled: Float[Array, "batch 1 condition_width"]


def condition_parameters(lanes: tuple[Lane, ...], width: int, frames: dict[str, int]) -> dict[str, Any]:
  """Declares the parameters of `condition` for the streams of `lanes`.

  Args:
    lanes: the lanes.
    width: width of the conditions.
    frames: stream -> frames per token, whose time features are concatenated; streams that are not listed use
      one vector of features, the mean over all frames.
  """
  out = {}
  for lane in lanes:
    inputs = TIME_FEATURES * frames.get(lane.key, 1)
    out[f"{lane.stored}_time"] = lane.stack(linear_parameters(inputs, width), "time")
    out[f"{lane.stored}_condition"] = lane.stack(linear_parameters(width, width), "condition")
  return out


def condition(params, lane: Lane, features, pooled, dtype) -> Array:
  """The conditions of a lane's streams, [batch, time, width]: an MLP of the time features, plus `pooled`."""

  def stream_condition(params):
    h = jax.nn.silu(linear(params["time"], features, dtype))
    return linear(params["condition"], h, dtype) + pooled

  return lane.map(stream_condition)(lane.parameters(params, "time", "condition"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedding:
  """Embeds the inputs of a transformer over `senses`.

  Attributes:
    senses: the senses of the model.
    lanes: the lanes of the caption and the senses.
    widths: stream -> width.
    condition_width: width of the conditions for the modulation.
    head_width: width of an attention head, for the rotary angles.
    text_length: length of a tokenized caption in bytes.
    word_buckets: number of embeddings of the encoder of words; 0: captions are read by their bytes alone.
    micro: names of the micro-conditions that the model is conditioned on.
    causal: whether the model is causal. The conditions of its caption do not depend on the times of frames.
    token_drop: share of sense tokens masked in training (`perturbation.drop_tokens`).
    text_noise: norm of the noise on text tokens in training (`perturbation.embedding_noise`).
    dtype: dtype of the computation.
  """

  senses: tuple[Sense, ...]
  lanes: tuple[Lane, ...]
  widths: dict[str, int]
  condition_width: int
  head_width: int
  text_length: int
  word_buckets: int = 0
  micro: tuple[str, ...] = ()
  causal: bool = False
  token_drop: float = 0.0
  text_noise: float = 0.0
  dtype: DTypeLike = jnp.float32

  def parameters(self) -> dict[str, Any]:
    """Declares the parameters of the embedding."""
    width, out = self.condition_width, {}
    parts = {
      "text": text_parameters(self.widths["text"], self.text_length),
      "pooled": linear_parameters(self.widths["text"], width),
      **{f"{name}_micro": micro_parameters(width) for name in self.micro},
    }
    if self.word_buckets:
      words = self.text_length // PATCH
      parts["words"] = word_parameters(self.widths["text"], words, self.word_buckets)
    for sense in self.senses:
      values = int(np.prod(sense.patch)) * sense.shape[-1]
      parts[f"{sense.name}_in"] = linear_parameters(values, self.widths[sense.name])
    out = {name: stacked(tree, [name]) for name, tree in parts.items()}
    return {
      **out,
      **condition_parameters(self.lanes, width, {sense.name: sense.patch[0] for sense in self.senses}),
    }

  def encode_captions(self, params: dict[str, Any], context: Context) -> Context:
    """See `transformer.Transformer.encode_captions`."""
    text = context.text
    both = jnp.concatenate([text, drop(text[:1], jnp.array([False]))])
    uses = None if context.encoders is None else jnp.pad(context.encoders, ((0, 1), (0, 0)))
    tokens, real = self._encode(params, both, uses)
    empty, empty_real = (jnp.repeat(x[-1:], len(text), 0) for x in (tokens, real))
    encoded = EncodedText(tokens=tokens[:-1], real=real[:-1], empty=empty, empty_real=empty_real)
    return context.replace(encoded=encoded)

  def __call__(
    self,
    params: dict[str, Any],
    clip: Clip,
    t: Float[Array, "batch frames"],
    context: Context,
    present: tuple[Sense, ...],
    key: PRNGKeyArray | None,
  ) -> Inputs:
    """Embeds a clip.

    Args:
      params: the parameters of the model.
      clip: noised clip, sense -> [batch, frames, *sense.shape].
      t: diffusion time of each frame.
      context: captions, valid frames and micro-conditions.
      present: the senses of `clip`, with its height and width.
      key: PRNG key of the perturbations in training; None when sampling.
    """
    dtype = self.dtype
    if context.encoded is None:
      text, text_real = self._encode(params, context.text, context.encoders)
    else:
      text, text_real = context.encoded.tokens, context.encoded.real
    text = embedding_noise(_named(key, "text_noise"), text, self.text_noise)
    pooled = self._pooled(params, text, text_real, context)
    features = time_features(t).astype(dtype)
    # A model of one sense has no cross-sense attention to mask; its mask is then known while tracing.
    independent_senses = context.independent_senses if len(self.senses) > 1 else None
    streams = {"text": text[:, None]}
    angles = {"text": rotary_angles(np.zeros((text.shape[1], 3)), self.head_width)}
    tokens = {"text": stream_tokens(text_real[:, None], TEXT, independent_senses=independent_senses)}
    for number, sense in enumerate(present, 1):
      name, valid = sense.name, context.valid.get(sense.name)
      x = clip[name].astype(dtype)
      if valid is not None:
        x = jnp.where(jnp.reshape(valid, valid.shape + (1,) * len(sense.shape)), x, 0)
      patches = patchify(x, sense)
      batch, time, place, _ = patches.shape
      streams[name] = linear(params[f"{name}_in"], patches, dtype)
      angles[name] = sense_angles(sense, t.shape[1], self.head_width)
      # Without `valid` it is known while tracing that no token is padding.
      real = np.ones((batch, time), bool) if valid is None else valid.reshape(batch, time, -1).any(-1)
      real = drop_tokens(_named(key, f"{name}_drop"), real.repeat(place, 1), self.token_drop)
      last = (np.arange(time) + 1) * sense.patch[0] - 1
      tokens[name] = stream_tokens(real.reshape(batch, time, place), number, last, independent_senses)
    return Inputs(
      streams=streams,
      conditions=self._conditions(params, streams, features, pooled),
      angles=angles,
      tokens=tokens,
      features=features,
      pooled=pooled,
    )

  def _encode(self, params, text, uses):
    """The tokens of all text encoders and which are real; `uses` is `Context.encoders`."""

    def read_by(number: int):
      return text if uses is None else drop(text, uses[:, number])

    parts = [encode_text(params["text"], read_by(0), self.dtype)]
    if self.word_buckets:
      parts.append(encode_words(params["words"], read_by(1), self.dtype))
    return tuple(jnp.concatenate(part, 1) for part in zip(*parts, strict=True))

  def _pooled(self, params, text, text_real, context: Context):
    weight = text_real[..., None].astype(self.dtype)
    pooled = jnp.sum(text * weight, 1) / jnp.sum(weight, 1)
    pooled = linear(params["pooled"], pooled, self.dtype)
    known = {"fps": context.fps, "motion": context.motion}
    for name in self.micro:
      number = jnp.full(len(text), jnp.nan) if known[name] is None else known[name]
      pooled += micro_condition(params[f"{name}_micro"], number, self.dtype)
    return pooled[:, None]

  def _conditions(self, params, streams, features, pooled) -> dict[str, Array]:
    """stream -> conditions of each of its time steps, from the times of the frames that its tokens cover."""
    out, batch = {}, len(features)
    for lane in of_clip(self.lanes, streams):
      lane_features = jnp.reshape(features, (batch, streams[lane.key].shape[1], -1))
      if lane.key == "text":
        # Every frame sees the caption, so in a causal model it must not depend on the times of later frames.
        zero = time_features(jnp.zeros((batch, 1))).astype(self.dtype)
        lane_features = zero if self.causal else features.mean(1, keepdims=True)
      out |= lane.split(condition(params, lane, lane_features, pooled, self.dtype))
    return out


def _named(key: PRNGKeyArray | None, name: str) -> PRNGKeyArray | None:
  return None if key is None else named_key(key, name, 1)
