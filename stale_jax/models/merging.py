"""Token merging within a turn (Bolya et al., arXiv 2210.09461; nickname: decarboxylation).

Three tokens in and two out: after the first block the third of each frame's tokens that was attended to
least is merged into the most similar of those kept, which then count in attention as many as they hold. At
the exit what happened to a merged token is copied back to each token in it, which keeps its difference from
the mean, as the residual stream does in arXiv 2303.17604. Only tokens of one time are merged: frames may be
at different noise, and a token's modulation is by its time.
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


@flax.struct.dataclass
class Merge:
  """Which tokens of each group are merged into which.

  Attributes:
    kept: indices into the group's tokens, rising.
    merged: the others'.
    into: one-hot, which of the kept each merged one goes to.
    size: how many real tokens each kept one stands for afterwards.
    share: of each merged token in the mean that takes its place.
  """

  kept: Int[Array, "*group kept"]
  merged: Int[Array, "*group merged"]
  into: Float[Array, "*group merged kept"]
  size: Float[Array, "*group kept"]
  share: Float[Array, "*group merged"]

  def __call__(self, x: Float[Array, "*group tokens width"]) -> Float[Array, "*group kept width"]:
    """The mean of the real tokens that each kept one stands for."""
    kept, merged = (_take(x, index) for index in (self.kept, self.merged))
    # The difference rather than the sum, so that equal tokens are not even rounded.
    into = self.into.astype(x.dtype)
    change = self.share[..., None].astype(x.dtype) * (merged - into @ kept)
    return kept + into.swapaxes(-1, -2) @ change

  def restore(
    self, before: Float[Array, "*group tokens width"], after: Float[Array, "*group kept width"]
  ) -> Float[Array, "*group tokens width"]:
    """`before`, each token changed as the one that stood for it was, from `self(before)` to `after`."""
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
  """Merges the third of each group (rounded down) that received least into the kept of greatest cosine.

  Tokens that are not real go first and weigh nothing.
  """
  order = jnp.argsort(jnp.where(real, received, -1.0), -1)
  count = x.shape[-2] // 3
  kept, merged = jnp.sort(order[..., count:], -1), jnp.sort(order[..., :count], -1)
  unit = x.astype(jnp.float32)
  unit = unit * jax.lax.rsqrt(jnp.sum(jnp.square(unit), -1, keepdims=True) + 1e-12)
  cosine = _take(unit, merged) @ _take(unit, kept).swapaxes(-1, -2)
  into = jax.nn.one_hot(jnp.argmax(cosine, -1), kept.shape[-1])
  own, theirs = (jnp.take_along_axis(real, index, -1).astype(jnp.float32) for index in (kept, merged))
  size = own + jnp.einsum("...mk,...m->...k", into, theirs)
  share = theirs / jnp.maximum(jnp.einsum("...mk,...k->...m", into, size), 1)
  return Merge(kept=kept, merged=merged, into=into, size=size, share=share)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MergingTrunk:
  """A trunk of which all blocks but the first see two tokens of three.

  Attributes:
    trunk: of two blocks or more, with joint attention.
    lanes: of the model.
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
    return_aux: bool = False,
  ) -> tuple[dict[str, Array], dict[str, Any]]:
    """See `Trunk`."""
    first, *others = self.trunk.layers(params["blocks"])
    block, batch = self.trunk.block, len(conditions["text"])
    count = sum(time * place for time, place in layout.shapes.values())
    layout = dataclasses.replace(layout, size=jnp.ones((batch, count), jnp.float32))
    streams, aux = block(first, lanes, streams, conditions, layout, "block_0")
    before = split(lanes, streams, layout.shapes)
    merges, fewer, layout = _merged(before, jax.lax.stop_gradient(aux["probabilities"]), layout)
    narrow = of_clip(self.lanes, fewer)
    streams, conditions = join(narrow, fewer), join(narrow, split(lanes, conditions))
    for layer, own in enumerate(others, 1):
      streams, _ = block(own, narrow, streams, conditions, layout, f"block_{layer}")
    after = split(narrow, streams, layout.shapes)
    restored = {
      name: merges[name].restore(before[name], x) if name in merges else x for name, x in after.items()
    }
    return join(lanes, restored), {}


def _merged(streams: dict[str, Array], p: Float[Array, "batch heads to from"], layout: TokenLayout):
  """(stream -> its merge, the streams merged, where their tokens are), after the probabilities `p`."""
  every = join_tokens(layout.tokens, len(p))
  sizes, merges, fewer, turned, left, start = [], {}, {}, {}, {}, 0
  for name, x in streams.items():
    group = x.shape[:3]
    own = slice(start, start + x.shape[1] * x.shape[2])
    first, start = start, own.stop
    if name not in layout.placed:
      sizes.append(layout.size[:, own])
      fewer[name], turned[name], left[name] = x, layout.angles[name], layout.tokens[name]
      continue
    # Only the tokens that the stream sees, its own among them, are asked: what is masked has no say.
    asking = jax.tree.map(lambda x, i=first: x[:, i : i + 1], every)
    seen = Rule()(asking, every)[:, 0]
    received = jnp.einsum("bhqk,bq->bk", p[..., own], seen.astype(p.dtype))
    real = jnp.reshape(seen[:, own], group)
    merge = merge_third(jax.lax.stop_gradient(x), jnp.reshape(received, group), real)
    merges[name], fewer[name] = merge, merge(x)
    sizes.append(jnp.reshape(merge.size, (len(p), -1)))
    angles = layout.angles[name]
    wide = jnp.broadcast_to(jnp.reshape(angles, (1, *group[1:], -1)), (*group, angles.shape[-1]))
    turned[name] = jnp.reshape(_take(wide, merge.kept), (len(p), -1, wide.shape[-1]))
    left[name] = jax.tree.map(
      lambda x, m=merge, g=group: jnp.take_along_axis(jnp.broadcast_to(x, g), m.kept, 2), layout.tokens[name]
    )
  layout = dataclasses.replace(
    layout, angles=turned, tokens=left, shapes=shapes_of(fewer), size=jnp.concatenate(sizes, 1)
  )
  return merges, fewer, layout
