"""A transformer put together of its parts, none of which knows another by name."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Clip, Context, Sense
from stale_jax.models.attention import shapes_of
from stale_jax.models.block import Block
from stale_jax.models.cycle import Cycle
from stale_jax.models.extra_keys import ExtraKeys, MoreKeys, past_keys
from stale_jax.models.forms import TwoForms
from stale_jax.models.heads import (
  CopyMask,
  Final,
  Head,
  Scores,
  modulated,
  modulation_parameters,
  output,
  output_parameters,
)
from stale_jax.models.inputs import Embedding, Inputs
from stale_jax.models.kv_cache import KVCache
from stale_jax.models.lanes import Lane, join, lanes_of, of_clip, split
from stale_jax.models.merging import MergingTrunk
from stale_jax.models.mixers import JointAttention, Mixer, TokenLayout
from stale_jax.models.trunk import Trunk


@runtime_checkable
class Settings(Protocol):
  """The fields of `transformer.Transformer`, which documents them."""

  senses: tuple[Sense, ...]
  width: int
  side_width: int
  text_width: int
  condition_width: int
  depth: int
  heads: int
  text_length: int
  dtype: str
  labels: int
  emoji: str
  token_drop: float
  text_noise: float
  forms: str
  turns: int
  merge: bool
  mask: bool
  attention: str
  causal: bool
  rope_jitter: float
  micro: tuple[str, ...]
  remat: str
  scan: bool | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
  """The parts of a transformer.

  Attributes:
    senses: that it knows.
    embedding: makes the inputs of the trunk.
    trunk: (parameters, lanes, streams, conditions, where, key, tells) -> (streams, what blocks tell).
    heads: that can be asked for beside the output.
    lanes: of the caption and the senses, the caption's first.
    head_width: of attention.
    dtype: of the computation.
    declared: the declaration of every parameter.
  """

  senses: tuple[Sense, ...]
  embedding: Embedding
  trunk: Callable
  heads: tuple[Head, ...]
  lanes: tuple[Lane, ...]
  head_width: int
  dtype: DTypeLike
  declared: dict[str, Any]

  def __call__(
    self,
    params: dict[str, Any],
    clip: Clip,
    t: Float[Array, "batch frames"],
    context: Context,
    cache: KVCache | None,
    more_keys: MoreKeys | None,
    key: PRNGKeyArray | None,
    asked: tuple[str, ...],
  ) -> tuple[Clip, dict[str, Any]]:
    """(outputs, name -> what else was `asked` for); see `transformer.Transformer.apply`."""
    # Of the clip's own height and width, which may be others than those the model was built with.
    present = tuple(sense.on(clip[sense.name].shape[2:]) for sense in self.senses if sense.name in clip)
    inputs = self.embedding(params, clip, t, context, present, key)
    heads = [head for head in self.heads if head.name in asked]
    for head in heads:
      inputs = head.enter(params, inputs)
    inputs, extra = self._placed(inputs, present, cache, more_keys)
    layout = TokenLayout(
      angles=inputs.angles,
      tokens=inputs.tokens,
      shapes=shapes_of(inputs.streams),
      timed=tuple(sense.name for sense in present),
      placed=tuple(sense.name for sense in present if len(sense.shape) > 1),
      extra=extra,
    )
    streams, aux = self._through(params, inputs, layout, key, "kv" in asked or "intermediates" in asked)
    lanes = of_clip(self.lanes[1:], {sense.name: streams[sense.name] for sense in present})
    final = Final(
      streams=streams,
      modulated=modulated(params, lanes, streams, inputs.conditions, self.dtype),
      conditions=inputs.conditions,
      tokens=inputs.tokens,
      senses=present,
    )
    read = {head.name: head(params, final, key) for head in heads}
    said = {name: {part: (x,) for part, x in own.items()} for name, own in read.items()}
    return output(params, final, self.dtype), {**_told(aux, asked), **said}

  def _placed(
    self, inputs: Inputs, present: tuple[Sense, ...], cache, more_keys
  ) -> tuple[Inputs, tuple[ExtraKeys, ...]]:
    """(the inputs behind the frames in the cache, what their tokens attend to besides one another)."""
    extra, seen = [], inputs
    if cache is not None:
      seen = past_keys(cache, present, self.head_width, inputs.angles, inputs.tokens)
      inputs = dataclasses.replace(inputs, angles=seen.own_angles, tokens=seen.own_tokens)
      extra = [seen]
    if more_keys is not None:
      extra.append(more_keys(seen.angles, seen.tokens))
    return inputs, tuple(extra)

  def _through(self, params, inputs: Inputs, layout: TokenLayout, key, return_aux: bool):
    """(streams behind the trunk, block -> what it tells)."""
    lanes = of_clip(with_heads(self.lanes, self.heads), inputs.streams)
    streams, conditions = join(lanes, inputs.streams), join(lanes, inputs.conditions)
    streams, aux = self.trunk(params, lanes, streams, conditions, layout, key, return_aux)
    return split(lanes, streams, inputs.tokens), aux


def with_heads(lanes: tuple[Lane, ...], heads: tuple[Head, ...]) -> tuple[Lane, ...]:
  """`lanes`, and those of the streams that heads add."""
  names = (head.stream[0] for head in heads if head.stream)
  return (*lanes, *(Lane(stored=name, members=(name,)) for name in names))


def _told(aux: dict[str, dict[str, Any]], asked: tuple[str, ...]) -> dict[str, Any]:
  """What the blocks tell, by what was asked for."""
  out = {}
  if "kv" in asked:
    out["kv"] = {block: {"keys": (own["keys"],), "values": (own["values"],)} for block, own in aux.items()}
  if "intermediates" in asked:
    out["intermediates"] = {
      block: {"forms": {"plot": own["plot"]}} for block, own in aux.items() if "plot" in own
    }
  return out


def build_network(model: Settings) -> Network:
  """The network of these settings."""
  dtype, (first, *others) = jnp.dtype(model.dtype), model.senses
  widths = {"text": model.text_width, first.name: model.width}
  widths |= {sense.name: model.side_width for sense in others}
  lanes = lanes_of(first.name, {sense.name: sense.patch[0] for sense in others})
  heads = build_heads(model, dtype)
  embedding = Embedding(
    senses=model.senses,
    lanes=lanes,
    widths=widths,
    condition_width=model.condition_width,
    head_width=model.width // model.heads,
    text_length=model.text_length,
    micro=model.micro,
    causal=model.causal,
    token_drop=model.token_drop,
    text_noise=model.text_noise,
    dtype=dtype,
  )
  block = Block(mixer=build_mixer(model, dtype), width=model.width, dtype=dtype, remat=model.remat)
  within = {**widths, **dict(head.stream for head in heads if head.stream)}
  inner = with_heads(lanes, heads)
  blocks = block.parameters(model.depth, inner, within, model.condition_width)
  scan = False if model.turns else model.scan
  number = 2 if model.turns else 1
  trunk = Trunk(block=block, depth=model.depth, scan=scan, declared=blocks, number=number)
  trunk = MergingTrunk(trunk=trunk, lanes=inner) if model.merge else trunk
  trunk = Cycle(trunk=trunk, turns=model.turns, dtype=dtype) if model.turns else trunk
  senses = lanes[1:], widths, model.condition_width
  parts = [
    embedding.parameters(),
    modulation_parameters(*senses),
    output_parameters(model.senses, widths),
    trunk.parameters(*senses) if model.turns else {},
    *(head.parameters(model.senses, widths, model.condition_width) for head in heads),
  ]
  return Network(
    senses=model.senses,
    embedding=embedding,
    trunk=trunk,
    heads=heads,
    lanes=lanes,
    head_width=model.width // model.heads,
    dtype=dtype,
    declared={**{name: part for tree in parts for name, part in tree.items()}, "blocks": blocks},
  )


def build_heads(model: Settings, dtype: DTypeLike) -> tuple[Head, ...]:
  """The heads that the settings ask for."""
  found = []
  if model.mask:
    found.append(CopyMask(dtype=dtype))
  if model.labels:
    found.append(Scores(labels=model.labels, emoji=model.emoji, width=model.side_width, dtype=dtype))
  return tuple(found)


def build_mixer(model: Settings, dtype: DTypeLike) -> Mixer:
  """The mixer that the settings ask for."""
  sizes = {"heads": model.heads, "head_width": model.width // model.heads, "dtype": dtype}
  if model.forms != "none":
    return TwoForms(mode=model.forms, **sizes)
  return JointAttention(backend=model.attention, causal=model.causal, rope_jitter=model.rope_jitter, **sizes)
