"""Assembles a transformer from its parts: embedding, trunk and heads."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Clip, Context, Sense
from stale_jax.models.attention import Shapes, shapes_of
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
from stale_jax.models.relation import RelationNetwork
from stale_jax.models.trunk import Trunk


@runtime_checkable
class Settings(Protocol):
  """The fields of `transformer.Transformer`, documented there."""

  senses: tuple[Sense, ...]
  width: int
  side_width: int
  text_width: int
  condition_width: int
  depth: int
  heads: int
  text_length: int
  word_buckets: int
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
  relation_width: int
  skip: tuple[int, ...]
  trained_frames: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entered:
  """A clip as it enters the trunk.

  Attributes:
    inputs: tokens, conditions and positions.
    layout: what attention needs to know of them.
    present: the senses of the clip, with its height and width.
    heads: the heads whose outputs are requested.
  """

  inputs: Inputs
  layout: TokenLayout
  present: tuple[Sense, ...]
  heads: tuple[Head, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
  """A transformer as a pure function of its parameters.

  Attributes:
    senses: the senses of the model.
    embedding: computes the inputs of the trunk.
    trunk: `trunk.Trunk`, `merging.MergingTrunk` or `cycle.Cycle`; all have the signature of `trunk.Trunk`.
    heads: the heads that can be requested besides the outputs of the senses.
    lanes: the lanes of the caption and the senses, the caption's first.
    head_width: width of an attention head.
    dtype: dtype of the computation.
    trained: see `TokenLayout`.
    relation: the relation of ContextDiff, which `__call__` does not use; None if the process has no bias.
    declared: the declarations of all parameters.
  """

  senses: tuple[Sense, ...]
  embedding: Embedding
  trunk: Callable
  heads: tuple[Head, ...]
  lanes: tuple[Lane, ...]
  head_width: int
  dtype: DTypeLike
  trained: Shapes | None
  relation: RelationNetwork | None
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
    requested: tuple[str, ...],
  ) -> tuple[Clip, dict[str, Any]]:
    """Applies the network. The arguments not listed here are those of `transformer.Transformer.__call__`.

    Args:
      key: PRNG key of the perturbations in training; None when sampling.
      requested: the additional outputs, names of `transformer.COLLECTIONS`.

    Returns:
      (outputs, name of `requested` -> its values, each leaf in a tuple as `Module.sow` stores it).
    """
    entered = self.enter(params, clip, t, context, cache, more_keys, key, requested)
    return_aux = tuple(name for collection in requested for name in _AUX.get(collection, ()))
    streams, aux = self.run_trunk(params, entered, entered.inputs.streams, key, return_aux)
    outputs, sown = self.leave(params, entered, streams, key)
    senses = tuple(sense.name for sense in entered.present)
    return outputs, {**_collections(aux, requested, senses), **sown}

  def part(self, blocks: range) -> "Network":
    """The network with a contiguous range of its blocks, whose parameters are all that "blocks" then holds.

    Chained, `enter` and `run_trunk` of consecutive parts and `leave` of the last one compute what the whole
    network does. `trunk` must be a `trunk.Trunk`.
    """
    trunk = dataclasses.replace(self.trunk, depth=len(blocks), first=blocks.start)
    return dataclasses.replace(self, trunk=trunk)

  def enter(
    self, params, clip: Clip, t, context: Context, cache, more_keys=None, key=None, requested=()
  ) -> Entered:
    """Embeds the clip; see `__call__` for the arguments."""
    # The height and width of the clip may differ from those with which the model was built.
    present = tuple(sense.on(clip[sense.name].shape[2:]) for sense in self.senses if sense.name in clip)
    inputs = self.embedding(params, clip, t, context, present, key)
    heads = tuple(head for head in self.heads if head.name in requested)
    for head in heads:
      inputs = head.enter(params, inputs)
    inputs, extra = self._with_extra_keys(inputs, present, cache, more_keys)
    layout = TokenLayout(
      angles=inputs.angles,
      tokens=inputs.tokens,
      shapes=shapes_of(inputs.streams),
      timed=tuple(sense.name for sense in present),
      placed=tuple(sense.name for sense in present if len(sense.shape) > 1),
      extra=extra,
      trained=self.trained,
    )
    return Entered(inputs=inputs, layout=layout, present=present, heads=heads)

  def run_trunk(
    self, params, entered: Entered, streams: dict[str, Array], key=None, return_aux: tuple[str, ...] = ()
  ) -> tuple[dict[str, Array], dict[str, Any]]:
    """Applies the blocks to `streams`; returns (stream -> tokens, block -> auxiliary outputs)."""
    inputs = entered.inputs
    lanes = of_clip(with_heads(self.lanes, self.heads), inputs.streams)
    streams, conditions = join(lanes, streams), join(lanes, inputs.conditions)
    streams, aux = self.trunk(params, lanes, streams, conditions, entered.layout, key, return_aux)
    return split(lanes, streams, inputs.tokens), aux

  def leave(
    self, params, entered: Entered, streams: dict[str, Array], key=None
  ) -> tuple[Clip, dict[str, Any]]:
    """Returns (outputs, collection -> those of its head) from the tokens after the last block."""
    inputs, present = entered.inputs, entered.present
    lanes = of_clip(self.lanes[1:], {sense.name: streams[sense.name] for sense in present})
    final = Final(
      streams=streams,
      modulated=modulated(params, lanes, streams, inputs.conditions, self.dtype),
      conditions=inputs.conditions,
      tokens=inputs.tokens,
      senses=present,
    )
    head_outputs = {head.name: head(params, final, key) for head in entered.heads}
    sown = {name: {part: (x,) for part, x in parts.items()} for name, parts in head_outputs.items()}
    return output(params, final, self.dtype), sown

  def _with_extra_keys(
    self, inputs: Inputs, present: tuple[Sense, ...], cache, more_keys
  ) -> tuple[Inputs, tuple[ExtraKeys, ...]]:
    """Returns (the inputs, with positions after the frames in the cache; the extra keys and values)."""
    extra, keys = [], inputs
    if cache is not None:
      keys = past_keys(cache, present, self.head_width, inputs.angles, inputs.tokens)
      inputs = dataclasses.replace(inputs, angles=keys.own_angles, tokens=keys.own_tokens)
      extra = [keys]
    if more_keys is not None:
      extra.append(more_keys(keys.angles, keys.tokens))
    return inputs, tuple(extra)


def with_heads(lanes: tuple[Lane, ...], heads: tuple[Head, ...]) -> tuple[Lane, ...]:
  """Adds lanes for the streams of `heads` to `lanes`."""
  names = (head.stream[0] for head in heads if head.stream)
  return (*lanes, *(Lane(stored=name, members=(name,)) for name in names))


# Collection -> the auxiliary outputs of the blocks from which it is made.
_AUX = {"kv": ("keys", "values"), "intermediates": ("plot",), "features": ("streams",)}


def _collections(
  aux: dict[str, dict[str, Any]], requested: tuple[str, ...], senses: tuple[str, ...]
) -> dict[str, Any]:
  """The requested Flax collections made from the auxiliary outputs of the blocks."""
  out = {}
  if "kv" in requested:
    out["kv"] = {block: {"keys": (x["keys"],), "values": (x["values"],)} for block, x in aux.items()}
  if "intermediates" in requested:
    out["intermediates"] = {block: {"forms": {"plot": x["plot"]}} for block, x in aux.items() if "plot" in x}
  if "features" in requested:
    out["features"] = {block: {name: (x["streams"][name],) for name in senses} for block, x in aux.items()}
  return out


def build_network(model: Settings) -> Network:
  """Builds the network from `model`, the fields of a `Transformer`."""
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
    word_buckets=model.word_buckets,
    micro=model.micro,
    causal=model.causal,
    token_drop=model.token_drop,
    text_noise=model.text_noise,
    dtype=dtype,
  )
  block = Block(mixer=build_mixer(model, dtype), width=model.width, dtype=dtype, remat=model.remat)
  block_widths = {**widths, **dict(head.stream for head in heads if head.stream)}
  block_lanes = with_heads(lanes, heads)
  blocks = block.parameters(model.depth, block_lanes, block_widths, model.condition_width)
  scan = False if model.turns else model.scan
  number = 2 if model.turns else 1
  trunk = Trunk(block=block, depth=model.depth, scan=scan, declared=blocks, number=number, skip=model.skip)
  trunk = MergingTrunk(trunk=trunk, lanes=block_lanes) if model.merge else trunk
  trunk = Cycle(trunk=trunk, turns=model.turns, dtype=dtype) if model.turns else trunk
  of_senses = lanes[1:], widths, model.condition_width
  relation = build_relation(model)
  parts = [
    embedding.parameters(),
    modulation_parameters(*of_senses),
    output_parameters(model.senses, widths),
    trunk.parameters(*of_senses) if model.turns else {},
    *(head.parameters(model.senses, widths, model.condition_width) for head in heads),
    {} if relation is None else {"relation": relation.declared},
  ]
  return Network(
    senses=model.senses,
    embedding=embedding,
    trunk=trunk,
    heads=heads,
    lanes=lanes,
    head_width=model.width // model.heads,
    dtype=dtype,
    trained=trained_shapes(model.senses, model.trained_frames),
    relation=relation,
    declared={**{name: part for tree in parts for name, part in tree.items()}, "blocks": blocks},
  )


def trained_shapes(senses: tuple[Sense, ...], frames: int) -> Shapes | None:
  """Sense -> (time steps, places) of clips with `frames` frames; None for no frames."""
  if not frames:
    return None
  grids = {sense.name: sense.grid(frames) for sense in senses}
  return {name: (grid[0], math.prod(grid[1:])) for name, grid in grids.items()}


def build_relation(model: Settings) -> RelationNetwork | None:
  """Builds the relation that the settings enable."""
  if not model.relation_width:
    return None
  return RelationNetwork(senses=model.senses, text_width=model.text_width, width=model.relation_width)


def build_heads(model: Settings, dtype: DTypeLike) -> tuple[Head, ...]:
  """Builds the heads that the settings enable."""
  heads = []
  if model.mask:
    heads.append(CopyMask(dtype=dtype))
  if model.labels:
    heads.append(Scores(labels=model.labels, emoji=model.emoji, width=model.side_width, dtype=dtype))
  return tuple(heads)


def build_mixer(model: Settings, dtype: DTypeLike) -> Mixer:
  """Builds the mixer that the settings select."""
  sizes = {"heads": model.heads, "head_width": model.width // model.heads, "dtype": dtype}
  if model.forms != "none":
    return TwoForms(mode=model.forms, **sizes)
  return JointAttention(backend=model.attention, causal=model.causal, rope_jitter=model.rope_jitter, **sizes)
