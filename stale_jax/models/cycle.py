"""The trunk as a cycle: blocks of shared weights run round in turns (nickname: Krebs).

Stale Diffusion (arXiv 2404.01079) burns its captions in a citric acid cycle. What that points at
is a looped transformer (Universal Transformer, arXiv 1807.03819; recurrent depth, arXiv
2502.05171): each turn takes in the text afresh and starts from where the last one ended plus a
projection of the entry state, so that the depth is a choice at inference. Training draws the
number of turns a step, from 1 to the most. Each turn is told its number through the blocks'
modulation, as in the Universal Transformer. (Of a small model the loss at 1, 2 and 4 turns was .175,
.168 and .172 without, .170, .164 and .165 where it was told how many are to follow, and .161, .159
and .160 so: one seed, 1,500 steps.)

*Decarboxylation*, three tokens in and two out, is token merging (Bolya et al., arXiv 2210.09461):
after the first block of a turn the third of each frame's tokens that was attended to least is
merged into the most similar of those kept, which then count in attention as many as they hold.
At the turn's exit what happened to a merged token is copied back to each token in it, which keeps
its difference from the mean, as the residual stream does in arXiv 2303.17604. Only tokens of one
time are merged: frames may be at different noise, and a token's modulation is by its time.
"""

from collections.abc import Callable

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from stale_jax.mesh import current_mesh, parameter_spec, path_name
from stale_jax.models.layers import Dense, time_features
from stale_jax.models.visibility import Rule, Tokens, join


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


def trunk(
  model: nn.Module,
  block: Callable[[nn.Module, int], nn.Module],
  streams: dict[str, Float[Array, "batch time place width"]],
  conditions: dict[str, Float[Array, "batch time condition_width"]],
  angles: dict[str, Array],
  tokens: dict[str, Tokens],
  timed: tuple[str, ...],
  placed: tuple[str, ...],
  past=None,
) -> dict[str, Float[Array, "batch time place width"]]:
  """Runs the blocks once, or round in turns.

  Args:
    model: whose blocks; its fields depth, turns and merge are meant. Where it has an rng "perturb",
      as in training, the number of turns is drawn.
    block: (model, layer) -> that block of it.
    streams: at entry.
    conditions, angles, tokens: for the blocks.
    timed: streams that are carried from turn to turn; the others start each afresh.
    placed: streams whose tokens merge.
    past: `models.transformer.Past`, of blocks that are run once, one by one.
  """
  entry = streams

  def once(model, streams, conditions):
    if model.merge:
      return _merging(model, block, streams, conditions, angles, tokens, placed)
    each = past is not None or model.is_initializing() or model.is_mutable_collection("intermediates")
    if model.scan and not each:
      return _scanned(model, block, streams, conditions, angles, tokens)
    for layer in range(model.depth):
      streams, _ = block(model, layer)(streams, conditions, angles, tokens, past=past)
    return streams

  def turn(model, streams, number):
    def fed(name):
      width = entry[name].shape[-1]
      inject = Dense(width, nn.initializers.zeros, entry[name].dtype, name=f"{name}_inject", parent=model)
      return streams[name] + inject(entry[name])

    text = conditions["text"]
    hint = Dense(text.shape[-1], nn.initializers.zeros, text.dtype, name="turn", parent=model)(
      time_features(jnp.float32(number) / 8).astype(text.dtype)
    )
    told = {name: condition + hint for name, condition in conditions.items()}
    return once(model, {name: fed(name) if name in timed else x for name, x in entry.items()}, told)

  if not model.turns:
    return once(model, streams, conditions)
  if model.is_initializing():
    return turn(model, streams, 0)
  drawn = None
  if model.has_rng("perturb"):
    drawn = jax.random.randint(jax.random.fold_in(model.make_rng("perturb"), 0x6B72), (), 1, model.turns + 1)
  elif model.turns == 1:
    return turn(model, streams, 0)

  def body(model, streams, number):
    if drawn is None:
      return turn(model, streams, number), None
    return nn.cond(number < drawn, turn, lambda _, streams, number: streams, model, streams, number), None

  scan = nn.scan(
    body,
    variable_broadcast="params",
    variable_axes={"intermediates": 0},
    split_rngs={"params": False, "perturb": True},
  )
  return scan(model, streams, jnp.arange(model.turns))[0]


def _scanned(model, block, streams, conditions, angles, tokens):
  """The blocks by one program, over their parameters stacked in the dtype of the computation."""
  body, dtype = block(model, 0).clone(name=None, parent=None), jnp.dtype(model.dtype)

  def stack(path, *x):
    x = jnp.stack([x.astype(dtype) if x.ndim > 1 else x for x in x])
    mesh = current_mesh()
    if mesh is None:
      return x
    own = parameter_spec(mesh, f"block_0/{path_name(path)}", x.shape[1:])
    return jax.lax.with_sharding_constraint(x, jax.sharding.PartitionSpec(None, *own))

  each = [model.variables["params"][f"block_{layer}"] for layer in range(model.depth)]
  # Concrete gates are all that a block draws.
  key = model.make_rng("perturb") if model.forms == "concrete" and model.has_rng("perturb") else None

  def step(x, given):
    layer, params = given
    rngs = None if key is None else {"perturb": jax.random.fold_in(key, layer)}
    return body.apply({"params": params}, x, conditions, angles, tokens, rngs=rngs)[0], None

  stacked = jax.tree_util.tree_map_with_path(stack, *each)
  x, _ = jax.lax.scan(step, streams, (jnp.arange(model.depth), stacked))
  return {name: x[name] for name in streams}


def _merging(model, block, streams, conditions, angles, tokens, placed):
  """One turn of which all blocks but the first see two tokens of three."""
  starts, count = {}, 0
  for name, x in streams.items():
    starts[name], count = count, count + x.shape[1] * x.shape[2]
  batch = len(conditions["text"])
  size = jnp.ones((batch, count), jnp.float32)
  streams, p = block(model, 0)(streams, conditions, angles, tokens, size)
  p = jax.lax.stop_gradient(p)
  sizes, merges, fewer, turned, left = [], {}, {}, {}, {}
  everyone = join(tokens, batch)
  for name, x in streams.items():
    own = slice(starts[name], starts[name] + x.shape[1] * x.shape[2])
    if name not in placed:
      sizes.append(size[:, own])
      fewer[name], turned[name], left[name] = x, angles[name], tokens[name]
      continue
    # Only those whom the stream sees, itself among them, are asked: what is masked has no say.
    first = jax.tree.map(lambda x, i=starts[name]: x[:, i : i + 1], everyone)
    seen = Rule()(first, everyone)[:, 0]
    received = jnp.einsum("bhqk,bq->bk", p[..., own], seen.astype(p.dtype))
    group = x.shape[:3]
    real = jnp.reshape(seen[:, own], group)
    merge = merge_third(jax.lax.stop_gradient(x), jnp.reshape(received, group), real)
    merges[name], fewer[name] = merge, merge(x)
    sizes.append(jnp.reshape(merge.size, (batch, -1)))
    wide = jnp.broadcast_to(jnp.reshape(angles[name], (1, *group[1:], -1)), (*group, angles[name].shape[-1]))
    turned[name] = jnp.reshape(_take(wide, merge.kept), (batch, -1, wide.shape[-1]))
    left[name] = jax.tree.map(
      lambda x, m=merge, g=group: jnp.take_along_axis(jnp.broadcast_to(x, g), m.kept, 2), tokens[name]
    )
  size = jnp.concatenate(sizes, 1)
  for layer in range(1, model.depth):
    fewer, _ = block(model, layer)(fewer, conditions, turned, left, size)
  return {name: merges[name].restore(streams[name], x) if name in merges else x for name, x in fewer.items()}
