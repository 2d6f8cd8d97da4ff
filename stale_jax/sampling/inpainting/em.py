"""Fits a circuit to clips: initialised from patches of them, then trained by EM.

EM with gradients: the expected number of times that a weight is used is the derivative of log p with
respect to its logarithm (`inpainting.circuit`). The M-step makes these counts probabilities. For a batch of
the clips, the new weights are averaged with the old ones (stepwise EM, Cappé and Moulines 2009).

If all states of a region were alike, all their counts would be, and EM would never tell them apart. The first
states are therefore patches of training clips, each far from those chosen before (k-means++, Arthur and
Vassilvitskii 2007): state k generates patch k, each part of it by the state nearest to that part. This takes
the place of latent-variable distillation in the paper, whose teacher is a masked language model.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.clip import Clip, Sense
from stale_jax.data.source import Source
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.sampling.inpainting.circuit import (
  Circuit,
  Evidence,
  evidence_of,
  log_likelihood,
  splits,
)

_POOL = 4096  # Patches from which the prototypes of one size are chosen.
_KEPT = 0.9  # Probability, in the first weights, of the state or level of a prototype.
_DARK = 1 / 32  # Width of the first level, which holds the values of an absent stimulus.


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitSettings:
  """Size and training of a circuit.

  Attributes:
    levels: number of bins of a value; the first is thin, the others have equal widths.
    groups: number of groups of clips, which differ in their leaves alone, as colours do.
    leaf_states: states of a single pixel.
    states: states of a region of a few pixels, or of one frame of a sense without space; twice as many for
      each larger size.
    root_states: states of the whole clip.
    clips: number of training clips.
    batch: clips per step of EM.
    epochs: number of passes through the clips.
    smoothing: pseudo-count of every weight in every step.
  """

  levels: int = number(5, least=2)
  groups: int = number(6, least=1)
  leaf_states: int = number(6, least=1)
  states: int = number(24, least=1)
  root_states: int = number(192, least=1)
  clips: int = number(2048, least=1)
  batch: int = number(32, least=1)
  epochs: int = number(2, least=0)
  smoothing: float = number(0.01, above=0)

  def __post_init__(self):
    check_fields(self, "circuit")

  @property
  def edges(self) -> Float[np.ndarray, "{self.levels}+1"]:
    """The bounds of the levels."""
    return np.concatenate([[-1.0], np.linspace(-1 + _DARK, 1, self.levels)]).astype(np.float32)

  def widths(self, extents: Sequence[int]) -> list[int]:
    """The numbers of states from the leaves to the whole clip, for a sense of (frames, *space) `extents`."""
    count = len(splits(extents))
    leaf = self.leaf_states if len(extents) > 1 else self.states
    regions = [self.states << size for size in range(count - 1)]
    return [*[leaf, *regions][:count], self.root_states]


def stacked(source: Source, senses: Sequence[Sense], indices: Iterable[int]) -> Clip:
  """The clips of a source at `indices`, sense -> [clips, frames, *shape].

  Raises:
    UserError: a clip lacks a sense.
  """
  clips = [source[index]["clip"] for index in indices]
  for sense in senses:
    if any(sense.name not in clip for clip in clips):
      raise UserError(f"some clips have no {sense.name}: leave it out of config.senses.")
  return {sense.name: np.stack([clip[sense.name] for clip in clips]) for sense in senses}


def random_circuit(
  key: PRNGKeyArray, senses: Sequence[Sense], frames: int, settings: CircuitSettings
) -> Circuit:
  """A circuit with random weights, all different: a baseline, and an initialisation that EM can improve."""

  def rows(*shape):
    nonlocal key
    key, own = jax.random.split(key)
    return jax.nn.log_softmax(jnp.log(jax.random.exponential(own, shape)))  # Uniform on the simplex.

  leaves, sums = {}, {}
  for sense in senses:
    extents = (frames, *sense.shape[:-1])
    steps, widths = splits(extents), settings.widths(extents)
    leaves[sense.name] = rows(settings.groups, widths[0], sense.shape[-1], settings.levels)
    sums[sense.name] = tuple(
      rows(int(np.prod(factors)), above, below)
      for factors, below, above in zip(steps, widths[:-1], widths[1:], strict=True)
    )
  root = rows(settings.groups * settings.root_states).reshape(settings.groups, -1)
  return Circuit(root=root, leaves=leaves, sums=sums, edges=settings.edges)


def patch_circuit(clips: Clip, settings: CircuitSettings, rng: np.random.Generator) -> Circuit:
  """A circuit whose states generate patches of `clips`, sense -> [clips, frames, *shape]; see the module."""
  edges, count = settings.edges, len(next(iter(clips.values())))
  whole = rng.choice(count, settings.root_states, replace=count < settings.root_states)
  group = _groups(clips, settings.groups, rng)
  leaves, sums = {}, {}
  for name, x in clips.items():
    steps, widths = splits(x.shape[1:-1]), settings.widths(x.shape[1:-1])
    # Pictures are compared by their brightest channel, since the channels of a pixel belong to the groups.
    shapes = x.max(-1, keepdims=True) if x.ndim > 3 else x
    size, below, made = np.ones(x.ndim - 2, int), None, []
    for level, width in enumerate(widths):
      is_whole = level == len(steps)
      chosen = shapes[whole] if is_whole else _prototypes(shapes, size, width, rng)
      if level:
        parts = _parts(chosen, steps[level - 1])
        nearest = np.stack([_nearest(part, below) for part in parts])
        made.append(_near_one_hot(nearest, widths[level - 1]))
      else:
        leaves[name] = _histograms(x, _nearest(shapes, chosen), group, edges, settings)
      below = chosen
      size = size if is_whole else size * np.array(steps[level])
    sums[name] = tuple(made)
  root = jnp.full((settings.groups, settings.root_states), -np.log(settings.groups * settings.root_states))
  return Circuit(root=root.astype(jnp.float32), leaves=leaves, sums=sums, edges=edges)


def _groups(clips: Clip, count: int, rng: np.random.Generator) -> np.ndarray:
  """The group of each clip: k-means of the shares of the channels in the sum of the first sense."""
  first = (next(iter(clips.values())) + 1) / 2
  total = first.reshape(len(first), -1, first.shape[-1]).sum(1)
  shares = total / np.maximum(total.sum(-1, keepdims=True), 1e-6)
  centres = _spread(shares, count, rng)
  for _ in range(10):
    group = _nearest(shares, centres)
    centres = np.stack(
      [shares[group == g].mean(0) if (group == g).any() else centres[g] for g in range(count)]
    )
  return group


def _histograms(
  x, state, group, edges, settings: CircuitSettings
) -> Float[Array, "groups states channels levels"]:
  """The log-probabilities of the levels where a leaf is nearest to a state, in the clips of a group.

  Args:
    x: one sense of the clips, [clips, frames, *shape].
    state: the nearest state of each pixel, [clips * frames * ...].
    group: the group of each clip.
    edges: the bounds of the levels.
    settings: the settings.
  """
  shape = (settings.groups, settings.widths(x.shape[1:-1])[0])
  pixels = x.reshape(len(x), -1, x.shape[-1])
  level = np.searchsorted(edges[1:-1], pixels, side="right")
  states = np.broadcast_to(state.reshape(len(x), -1, 1), pixels.shape)
  groups, channels = np.broadcast_to(group[:, None, None], pixels.shape), np.arange(x.shape[-1])
  channels = np.broadcast_to(channels, pixels.shape)
  counts = np.full((*shape, x.shape[-1], settings.levels), 1e-3)
  np.add.at(counts, (groups, states, channels, level), 1)
  counts += 1e-3 * counts.sum(1, keepdims=True)  # What the group shows, for states that it never has.
  kept = _KEPT * counts / counts.sum(-1, keepdims=True) + (1 - _KEPT) / settings.levels
  return jnp.asarray(np.log(kept), jnp.float32)


def _parts(patches: np.ndarray, factors: Sequence[int]) -> np.ndarray:
  """Cuts patches [n, *extents, channels] into their children, [children, n, *extents / factors, channels]."""
  inner = [n // f for n, f in zip(patches.shape[1:-1], factors, strict=True)]
  pairs = [part for f, n in zip(factors, inner, strict=True) for part in (f, n)]
  x = patches.reshape(len(patches), *pairs, patches.shape[-1])
  axes = len(factors)
  x = x.transpose(*range(1, 2 * axes, 2), 0, *range(2, 2 * axes + 1, 2), 2 * axes + 1)
  return x.reshape(int(np.prod(factors)), len(patches), *inner, patches.shape[-1])


def _prototypes(x: np.ndarray, size: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
  """`count` patches [*size, channels] of the clips x, on the grid of the regions, far from one another."""
  which = rng.integers(len(x), size=_POOL)
  corners = [s * rng.integers(n // s, size=_POOL) for n, s in zip(x.shape[1:-1], size, strict=True)]
  cut = [
    x[(i, *(slice(c, c + s) for c, s in zip(at, size, strict=True)))]
    for i, *at in zip(which, *corners, strict=True)
  ]
  return _spread(np.stack(cut), count, rng)


def _spread(pool: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
  """`count` of the arrays in `pool`, each likely to be far from those chosen before it (k-means++)."""
  flat, distance, chosen = pool.reshape(len(pool), -1), np.full(len(pool), np.inf), [0]
  for _ in range(count - 1):
    distance = np.minimum(distance, np.square(flat - flat[chosen[-1]]).sum(-1))
    far = distance / distance.sum() if distance.sum() > 0 else None
    chosen.append(rng.choice(len(pool), p=far))
  return pool[chosen]


def _nearest(patches: np.ndarray, prototypes: np.ndarray) -> np.ndarray:
  """The index of the prototype nearest to each patch, [patches]."""
  b = prototypes.reshape(len(prototypes), -1)
  a = patches.reshape(-1, b.shape[1])
  return np.argmin(np.square(b).sum(-1) - 2 * a @ b.T, -1)


def _near_one_hot(index: np.ndarray, size: int) -> Float[Array, "..."]:
  """Log-probabilities [*index, size] with `_KEPT` at the index and the rest everywhere."""
  return jnp.log(jnp.asarray(_KEPT * np.eye(size)[index] + (1 - _KEPT) / size, jnp.float32))


def em_step(circuit: Circuit, evidence: Evidence, rate: float | Array, smoothing: float | Array) -> Circuit:
  """One step of EM on a batch of clips; at rate=1 and a smoothing of 0 it is exact EM.

  Args:
    circuit: the circuit.
    evidence: evidence of the clips; known values, or less.
    rate: weight of the new probabilities; 1 - rate is that of the old ones.
    smoothing: pseudo-count.
  """

  def total(parameters):
    return log_likelihood(circuit.replace(**parameters), evidence).sum()

  old = {"root": circuit.root, "leaves": circuit.leaves, "sums": circuit.sums}
  counts = jax.grad(total)(old)

  def update(log_p, count):
    count = count + smoothing / count.shape[-1]
    new = count / count.sum(-1, keepdims=True)
    return jnp.log((1 - rate) * jnp.exp(log_p) + rate * new)

  root = update(old.pop("root").ravel(), counts.pop("root").ravel()).reshape(circuit.root.shape)
  return circuit.replace(root=root, **jax.tree.map(update, old, counts))


_em_step = jax.jit(em_step)


def fit(clips: Clip, settings: CircuitSettings, seed: int, circuit: Circuit | None = None) -> Circuit:
  """Fits a circuit to clips, sense -> [clips, frames, *shape] in [-1, 1].

  Args:
    clips: the training clips.
    settings: size and training; `settings.clips` is not used.
    seed: seed of the initialisation and of the order of the clips.
    circuit: the circuit to begin with; default: `patch_circuit`.
  """
  rng = np.random.default_rng(seed)
  circuit = patch_circuit(clips, settings, rng) if circuit is None else circuit
  count = len(next(iter(clips.values())))
  batch = min(settings.batch, count)
  steps = settings.epochs * (count // batch)
  for step in range(steps):
    if step % (count // batch) == 0:
      order = rng.permutation(count)
    rows = order[(step % (count // batch)) * batch :][:batch]
    evidence = evidence_of(circuit, {name: x[rows] for name, x in clips.items()})
    rate = (step + 1) ** -0.6  # The rates of stochastic approximation: not summable, their squares are.
    circuit = _em_step(circuit, evidence, jnp.float32(rate), jnp.float32(settings.smoothing))
  return circuit
