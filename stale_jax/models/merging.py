"""Token merging within a turn (Bolya et al., arXiv 2210.09461; nickname: decarboxylation).

After the first block, the third of the tokens in each time step that received the least attention is merged:
each of these tokens into the most similar remaining token. In attention a merged token counts as the number
of tokens that it stands for (proportional attention). After the last block, the change of a merged token is
added to each token that it stands for. So each token keeps its difference from the mean, like the residual
stream in arXiv 2303.17604. Tokens of different time steps are never merged, since frames may be at different
noise levels and the modulation depends on the time.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from stale_jax.models.attention import shapes_of
from stale_jax.models.lanes import Lane, join, of_clip, split
from stale_jax.models.mixers import TokenLayout
from stale_jax.models.trunk import Trunk
from stale_jax.models.visibility import Rule
from stale_jax.models.visibility import join as join_tokens

# The most tokens of a clip that can be merged: the attention of all pairs is held in memory.
MERGED = 4096


@flax.struct.dataclass
class Merge:
  """An assignment of merged tokens to kept tokens within each group.

  Attributes:
    kept: indices of the kept tokens within the group, ascending.
    merged: indices of the merged tokens, ascending.
    into: one-hot assignment of each merged token to a kept token.
    size: number of real tokens that each kept token stands for after merging.
    share: weight of each merged token in the mean that replaces it: 1 / (size of its kept token), 0 for
      padding.
  """

  kept: Int[Array, "*group kept"]
  merged: Int[Array, "*group merged"]
  into: Float[Array, "*group merged kept"]
  size: Float[Array, "*group kept"]
  share: Float[Array, "*group merged"]

  def __call__(self, x: Float[Array, "*group tokens width"]) -> Float[Array, "*group kept width"]:
    """Merges the tokens: returns the mean of the real tokens that each kept token stands for."""
    kept, merged = (_take(x, index) for index in (self.kept, self.merged))
    # Adding weighted differences, instead of averaging, reproduces equal tokens exactly.
    into = self.into.astype(x.dtype)
    change = self.share[..., None].astype(x.dtype) * (merged - into @ kept)
    return kept + into.swapaxes(-1, -2) @ change

  def restore(
    self, before: Float[Array, "*group tokens width"], after: Float[Array, "*group kept width"]
  ) -> Float[Array, "*group tokens width"]:
    """Unmerges the tokens: adds to each token the change of the merged token that stood for it.

    Args:
      before: the tokens before merging.
      after: the merged tokens after further blocks.

    Returns:
      `before` plus the change from `self(before)` to `after`.
    """
    change = after - self(before)
    change = jnp.concatenate([change, self.into.astype(change.dtype) @ change], -2)
    order = jnp.argsort(jnp.concatenate([self.kept, self.merged], -1), -1)
    return before + _take(change, order)


def _take(x, index):
  return jnp.take_along_axis(x, index[..., None], -2)


def merge_third(
  x: Float[Array, "*group tokens width"],
  received: Float[Array, "*group tokens"],
  real: Bool[Array, "*group tokens"],
) -> Merge:
  """Assigns a third of each group (rounded down) to the kept tokens with the greatest cosine similarity.

  Args:
    x: the tokens.
    received: the attention that each token received; the tokens with the least are merged.
    real: False for padding, which is merged first and with weight 0.
  """
  order = jnp.argsort(jnp.where(real, received, -1.0), -1)
  count = x.shape[-2] // 3
  kept, merged = jnp.sort(order[..., count:], -1), jnp.sort(order[..., :count], -1)
  unit = x.astype(jnp.float32)
  unit = unit * jax.lax.rsqrt(jnp.sum(jnp.square(unit), -1, keepdims=True) + 1e-12)
  cosine = _take(unit, merged) @ _take(unit, kept).swapaxes(-1, -2)
  into = jax.nn.one_hot(jnp.argmax(cosine, -1), kept.shape[-1])
  kept_real, merged_real = (
    jnp.take_along_axis(real, index, -1).astype(jnp.float32) for index in (kept, merged)
  )
  size = kept_real + jnp.einsum("...mk,...m->...k", into, merged_real)
  share = merged_real / jnp.maximum(jnp.einsum("...mk,...k->...m", into, size), 1)
  return Merge(kept=kept, merged=merged, into=into, size=size, share=share)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MergingTrunk:
  """A trunk in which all blocks after the first process two thirds of the tokens of senses with places.

  Attributes:
    trunk: a trunk of two or more blocks with joint attention.
    lanes: the lanes of the model.
  """

  trunk: Trunk
  lanes: tuple[Lane, ...]

  def __call__(
    self,
    params: dict[str, Any],
    lanes: tuple[Lane, ...],
    streams: dict[str, Array],
    conditions: dict[str, Array],
    layout: TokenLayout,
    key: PRNGKeyArray | None = None,
    return_aux: tuple[str, ...] = (),
  ) -> tuple[dict[str, Array], dict[str, Any]]:
    """See `Trunk`. There are no auxiliary outputs."""
    (_, first), *others = self.trunk.applied(params["blocks"])
    block, batch = self.trunk.block, len(conditions["text"])
    count = sum(time * place for time, place in layout.shapes.values())
    layout = dataclasses.replace(layout, size=jnp.ones((batch, count), jnp.float32))
    streams, aux = block(first, lanes, streams, conditions, layout, "block_0")
    before = split(lanes, streams, layout.shapes)
    merges, merged, layout = _merge_streams(before, jax.lax.stop_gradient(aux["probabilities"]), layout)
    merged_lanes = of_clip(self.lanes, merged)
    streams, conditions = join(merged_lanes, merged), join(merged_lanes, split(lanes, conditions))
    for layer, layer_params in others:
      streams, _ = block(layer_params, merged_lanes, streams, conditions, layout, f"block_{layer}")
    after = split(merged_lanes, streams, layout.shapes)
    restored = {
      name: merges[name].restore(before[name], x) if name in merges else x for name, x in after.items()
    }
    return join(lanes, restored), {}


def _merge_streams(streams: dict[str, Array], p: Float[Array, "batch heads to from"], layout: TokenLayout):
  """Merges the tokens of the streams with places by the attention probabilities `p`.

  Returns:
    (stream -> its `Merge`, stream -> tokens after merging, the layout of these tokens).
  """
  all_tokens = join_tokens(layout.tokens, len(p))
  sizes, merges, merged, angles, tokens, start = [], {}, {}, {}, {}, 0
  for name, x in streams.items():
    group = x.shape[:3]
    stream = slice(start, start + x.shape[1] * x.shape[2])
    first, start = start, stream.stop
    if name not in layout.placed:
      sizes.append(layout.size[:, stream])
      merged[name], angles[name], tokens[name] = x, layout.angles[name], layout.tokens[name]
      continue
    # Sum only over queries that the stream itself sees, so that masked tokens do not influence the choice.
    query = jax.tree.map(lambda x, i=first: x[:, i : i + 1], all_tokens)
    seen = Rule()(query, all_tokens)[:, 0]
    received = jnp.einsum("bhqk,bq->bk", p[..., stream], seen.astype(p.dtype))
    real = jnp.reshape(seen[:, stream], group)
    merge = merge_third(jax.lax.stop_gradient(x), jnp.reshape(received, group), real)
    merges[name], merged[name] = merge, merge(x)
    sizes.append(jnp.reshape(merge.size, (len(p), -1)))
    before = layout.angles[name]
    wide = jnp.broadcast_to(jnp.reshape(before, (1, *group[1:], -1)), (*group, before.shape[-1]))
    angles[name] = jnp.reshape(_take(wide, merge.kept), (len(p), -1, wide.shape[-1]))
    tokens[name] = jax.tree.map(
      lambda x, m=merge, g=group: jnp.take_along_axis(jnp.broadcast_to(x, g), m.kept, 2), layout.tokens[name]
    )
  layout = dataclasses.replace(
    layout, angles=angles, tokens=tokens, shapes=shapes_of(merged), size=jnp.concatenate(sizes, 1)
  )
  return merges, merged, layout
