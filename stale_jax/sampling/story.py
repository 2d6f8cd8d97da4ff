"""Stories: one clip per panel, all of one character (StoryDiffusion: Zhou et al., arXiv 2405.01434, 3.1).

What a caption leaves open, there a face and here a handwriting, is drawn anew for every clip. To make it the
same in all panels, the panels see one another while they are denoised, without any training. *Consistent
self-attention* puts a random sample of the other panels' tokens before each panel's keys and values, by
sense, with the same projections and at the tokens' own positions. Queries stay. The sample is drawn anew in
every step; the first steps, in which a panel finds its layout, go without.

In a causal rollout (`samplers.causal`) panels are made chunk by chunk, each with a cache of its own. While a
chunk
is denoised, each panel sees a sample of all keys that the other panels see: those in their caches and those
of the chunk. What is kept of a chunk is computed without the others, as for any movie, so that a panel can be
continued by itself.

A long story is denoised by a tile of panels that slides over it, so that the memory of attention does not
grow with the story. Half of the tile are always the first panels, which all others follow. (The paper
averages, in each attention, tiles that overlap. Of ten stories of 16 panels and one prompt, by tiles of four,
outputs averaged so left a variance of .122 +- .017 between panels, and the first panels .080 +- .016; without
either it is about .10, and within one tile .014.)
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from stale_jax.clip import Clip, Context
from stale_jax.fields import check_fields, number
from stale_jax.models.visibility import TEXT, Tokens
from stale_jax.sampling.solvers import Denoiser


@dataclasses.dataclass(frozen=True, kw_only=True)
class Story:
  """How the panels of a story see one another.

  Attributes:
    rate: share of each other panel's tokens that a panel sees; 0: none, 1: all.
    plain: number of first solver steps in which panels do not see one another.
    tile: panels that are denoised together; the first half of them are the first panels of the story.
  """

  rate: float = number(0.29, least=0, most=1)
  plain: int = number(1, least=0)
  tile: int = number(4, least=2)

  def __post_init__(self):
    check_fields(self, "story")


def pick(key: PRNGKeyArray, panels: int, tokens: int, rate: float) -> Int[Array, "panels picked"]:
  """The tokens of each panel that the others see: a share `rate` of them, no token twice."""

  def one(panel):
    return jax.random.permutation(jax.random.fold_in(key, panel), tokens)[: round(rate * tokens)]

  return jax.vmap(one)(jnp.arange(panels))


def others(
  x: Float[Array, "batch tokens *rest"], picked: Int[Array, "panels picked"]
) -> Float[Array, "batch seen *rest"]:
  """For each panel the picked tokens of all others; a batch is one or more stories, one panel in each row."""
  panels, count = picked.shape
  rows, _, *rest = x.shape
  x = jnp.reshape(x, (-1, panels, *x.shape[1:]))
  taken = jnp.take_along_axis(x, jnp.reshape(picked, (1, panels, count, *(1,) * len(rest))), 2)
  whose = (np.arange(panels)[:, None] + np.arange(1, panels)) % panels
  return jnp.reshape(taken[:, whose], (rows, (panels - 1) * count, *rest))


@dataclasses.dataclass(frozen=True)
class Panels:
  """The tokens of the other panels, as `models.extra_keys.ExtraKeys` of each.

  Attributes:
    picked: sense -> the result of `pick`.
    angles, tokens: stream -> those of all keys, the others' before a panel's own.
  """

  picked: dict[str, Int[Array, "panels picked"]]
  angles: dict[str, Array]
  tokens: dict[str, Tokens]

  def extend(self, block: str, keys: dict[str, Array], values: dict[str, Array]):
    """The others' keys and values before each panel's own, in any block; captions are not shared."""

    def wide(name, own):
      return _before(own, self.picked[name])[:, None] if name in self.picked else own

    return tuple({name: wide(name, x) for name, x in part.items()} for part in (keys, values))


def _flat(x: Float[Array, "batch time place *rest"]) -> Float[Array, "batch tokens *rest"]:
  return jnp.reshape(x, (len(x), -1, *x.shape[3:]))


def _before(own: Float[Array, "batch time place *rest"], picked) -> Float[Array, "batch keys *rest"]:
  return jnp.concatenate([others(_flat(own), picked), _flat(own)], 1)


def see(
  key: PRNGKeyArray,
  rate: float,
  panels: int,
  awake: Bool[Array, ""],
  angles: dict[str, Array],
  tokens: dict[str, Tokens],
) -> Panels:
  """Lets the panels in each batch see a share of one another's tokens.

  Args:
    key: for the choice of tokens.
    rate: share of each other panel's tokens.
    panels: of a story.
    awake: whether panels see one another at all.
    angles, tokens: stream -> those of all keys of a clip, the cached ones included.
  """
  senses = [name for name, of in tokens.items() if np.max(of.stream) > TEXT]
  picked, turned, seen = {}, dict(angles), dict(tokens)
  for index, name in enumerate(senses):
    of = tokens[name]
    batch, *grid = of.real.shape
    picked[name] = pick(jax.random.fold_in(key, index), panels, math.prod(grid), rate)

    def wide(x, batch=batch, grid=grid, index=picked[name]):
      return _before(jnp.broadcast_to(x, (batch, *grid, *x.shape[3:])), index)[:, None]

    every = jax.tree.map(wide, of)
    strange = jnp.arange(every.real.shape[-1]) < every.real.shape[-1] - math.prod(grid)
    # As tokens of another clip, the others' are seen by tokens of their own sense alone.
    seen[name] = every.replace(
      real=every.real & (awake | ~strange), independent_senses=every.independent_senses | strange
    )
    turned[name] = wide(jnp.reshape(angles[name], (-1, *grid, angles[name].shape[-1])))[:, 0]
  return Panels(picked, turned, seen)


def consistent(
  network: Callable[..., Clip],
  story: Story,
  times: Float[Array, "grid batch frames"],
  key: PRNGKeyArray,
) -> Denoiser:
  """`network` with consistent self-attention among the panels of a tile.

  Args:
    network: (clip, t, context, more_keys) -> outputs; see `Transformer`.
    story: at rate 0 the network is returned unchanged.
    times: of the solver; they tell the denoiser its step. The batch is a story.
    key: for the choice of tokens, folded with the step.
  """
  panels = min(story.tile, times.shape[1])
  if not story.rate or panels == 1:
    return network

  def denoiser(clip: Clip, t, context: Context) -> Clip:
    step = jnp.sum(times[:, 0, 0] > t[0, 0])
    awake = step >= story.plain
    drawn = jax.random.fold_in(key, step)
    return network(clip, t, context, more_keys=functools.partial(see, drawn, story.rate, panels, awake))

  return denoiser


def tiled(denoiser_of: Callable[[Int[Array, "tile"] | None], Denoiser], tile: int, count: int) -> Denoiser:
  """A denoiser of `count` clips, `tile` at a time: the first tile, then half of it with each next half.

  The outputs for the first clips beside later ones are not used: they depend on nothing that follows.

  Args:
    denoiser_of: rows of a tile, or None for all clips -> the denoiser of these.
    tile: clips that are denoised together.
    count: of all clips; where they are one tile, its denoiser is returned.
  """
  if count <= tile:
    return denoiser_of(None)
  kept = tile // 2
  new = tile - kept
  starts = np.minimum(np.arange(kept, count, new), count - new)
  rows = np.stack([np.concatenate([np.arange(kept), start + np.arange(new)]) for start in starts])

  def sliding(clip: Clip, t, context: Context) -> Clip:
    def one(i, outputs):
      # From the last tile to the first, whose outputs for the first clips are the ones that stay.
      row = jnp.asarray(rows[::-1])[i]
      here = jax.tree.map(lambda x: jnp.take(x, row, 0), (clip, t, context))
      return {name: outputs[name].at[row].set(x) for name, x in denoiser_of(row)(*here).items()}

    return jax.lax.fori_loop(0, len(rows), one, jax.tree.map(jnp.zeros_like, clip))

  return sliding
