"""Stories: one clip per panel, all of one character (StoryDiffusion, Zhou et al., arXiv 2405.01434, 3.1).

Properties that a caption does not specify (in the paper a face, here a handwriting) differ between clips. To
make them the same in all panels, the panels attend to one another while they are denoised; no training is
needed. *Consistent self-attention* prepends a random sample of the other panels' tokens to each panel's keys
and values, separately for each sense, with the same projections and the tokens' own positions. Queries are
unchanged. The sample is redrawn in every step. In the first steps, which determine the layout of a panel, the
panels do not attend to one another.

In a causal rollout (`samplers.causal`) panels are made chunk by chunk, each with its own cache. While a chunk
is denoised, each panel attends to a sample of the keys of the other panels, from their caches and from the
chunk. The keys and values that are added to the cache are computed without the other panels, so that each
panel can be continued alone.

A long story is denoised in tiles of a fixed number of panels, so that the memory of attention does not grow
with the number of panels. The first half of each tile consists of the first panels of the story, so that all
other panels have the same character. (The paper instead averages overlapping tiles in each attention layer.
For ten stories of 16 panels with one prompt and tiles of four, the variance of the character between panels
was .122 +- .017 with averaged outputs and .080 +- .016 with the first panels in each tile. It is about .10
without either method, and .014 between the panels of one tile.)
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from stale_jax.clip import Clip, Context
from stale_jax.fields import check_fields, number
from stale_jax.models.visibility import TEXT, Tokens
from stale_jax.sampling.solvers import Denoiser


@dataclasses.dataclass(frozen=True, kw_only=True)
class Story:
  """Settings of consistent self-attention between the panels of a story.

  Attributes:
    rate: fraction of the tokens of each of the other panels that a panel attends to; 0 for none, 1 for all.
    plain: number of initial solver steps without attention between panels.
    tile: number of panels denoised together; the first half are the first panels of the story.
  """

  rate: float = number(0.29, least=0, most=1)
  plain: int = number(1, least=0)
  tile: int = number(4, least=2)

  def __post_init__(self):
    check_fields(self, "story")


def pick(key: PRNGKeyArray, panels: int, tokens: int, rate: float) -> Int[Array, "panels picked"]:
  """Draws the tokens of each panel that the other panels attend to: a fraction `rate`, without repetition."""

  def one(panel):
    return jax.random.permutation(jax.random.fold_in(key, panel), tokens)[: round(rate * tokens)]

  return jax.vmap(one)(jnp.arange(panels))


def others(
  x: Shaped[Array, "batch tokens *rest"], picked: Int[Array, "panels picked"]
) -> Shaped[Array, "batch seen *rest"]:
  """Gathers, for each panel, the picked tokens of all other panels of its story.

  Each row of the batch is a panel; `len(picked)` consecutive rows are a story.
  """
  panels, count = picked.shape
  rows, _, *rest = x.shape
  x = jnp.reshape(x, (-1, panels, *x.shape[1:]))
  taken = jnp.take_along_axis(x, jnp.reshape(picked, (1, panels, count, *(1,) * len(rest))), 2)
  other_panels = (np.arange(panels)[:, None] + np.arange(1, panels)) % panels
  return jnp.reshape(taken[:, other_panels], (rows, (panels - 1) * count, *rest))


@dataclasses.dataclass(frozen=True)
class Panels:
  """Extra keys of each panel: the picked tokens of the other panels (see `models.extra_keys.ExtraKeys`).

  Attributes:
    picked: sense -> the result of `pick`.
    angles, tokens: stream -> rotary angles and tokens of all keys; those of the other panels come first.
  """

  picked: dict[str, Int[Array, "panels picked"]]
  angles: dict[str, Array]
  tokens: dict[str, Tokens]

  def extend(self, block: str, keys: dict[str, Array], values: dict[str, Array]):
    """See `ExtraKeys`. A panel does not receive the keys and values of other panels' captions."""

    def wide(name, own):
      return _before(own, self.picked[name])[:, None] if name in self.picked else own

    return tuple({name: wide(name, x) for name, x in part.items()} for part in (keys, values))


def _flat(x: Shaped[Array, "batch time place *rest"]) -> Shaped[Array, "batch tokens *rest"]:
  return jnp.reshape(x, (len(x), -1, *x.shape[3:]))


def _before(own: Shaped[Array, "batch time place *rest"], picked) -> Shaped[Array, "batch keys *rest"]:
  return jnp.concatenate([others(_flat(own), picked), _flat(own)], 1)


def see(
  key: PRNGKeyArray,
  rate: float,
  panels: int,
  awake: Bool[Array, ""],
  angles: dict[str, Array],
  tokens: dict[str, Tokens],
) -> Panels:
  """Builds the extra keys with which each panel attends to a fraction of the other panels' tokens.

  Args:
    key: PRNG key for the choice of tokens.
    rate: fraction of the tokens of each of the other panels.
    panels: number of panels per story.
    awake: whether the panels attend to one another in this step.
    angles, tokens: stream -> rotary angles and tokens of all keys of a clip, including cached keys.
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
    # Tokens of other panels are visible only to queries of the same sense.
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
  """Returns a denoiser that evaluates `network` with consistent self-attention between the panels of a tile.

  Args:
    network: (clip, t, context, more_keys) -> outputs; see `Transformer`.
    story: settings; with rate 0 the network is returned unchanged.
    times: time grid of the solver, for the panels of one story. The denoiser looks up its step in this grid.
    key: PRNG key for the choice of tokens; it is folded with the step.
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
  """Returns a denoiser of `count` clips that evaluates `tile` clips at a time.

  The first tile is the first `tile` clips. Each later tile is the first half of the first tile and the next
  new clips. The outputs of the first clips are taken from the first tile, so that they do not depend on later
  clips.

  Args:
    denoiser_of: maps the rows of a tile, or None for all clips, to the denoiser of these clips.
    tile: number of clips denoised together.
    count: number of all clips. If they fit in one tile, `denoiser_of(None)` is returned.
  """
  if count <= tile:
    return denoiser_of(None)
  kept = tile // 2
  new = tile - kept
  starts = np.minimum(np.arange(kept, count, new), count - new)
  rows = np.stack([np.concatenate([np.arange(kept), start + np.arange(new)]) for start in starts])

  def sliding(clip: Clip, t, context: Context) -> Clip:
    def one(i, outputs):
      # From the last tile to the first, so that the first tile overwrites the outputs of the first clips.
      row = jnp.asarray(rows[::-1])[i]
      here = jax.tree.map(lambda x: jnp.take(x, row, 0), (clip, t, context))
      return {name: outputs[name].at[row].set(x) for name, x in denoiser_of(row)(*here).items()}

    return jax.lax.fori_loop(0, len(rows), one, jax.tree.map(jnp.zeros_like, clip))

  return sliding
