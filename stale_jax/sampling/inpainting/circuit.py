"""A probabilistic circuit over clips: exact likelihoods, marginals, conditionals, posteriors and samples.

The circuit is the prior of tractable in-painting (Tiramisu: Liu et al., arXiv 2401.03349). It models the
levels of a clip: [-1, 1] is divided into bins, and every value of every sense lies in one of them. Within a
bin the density is constant.

The values of a sense are the leaves of a tree: a region is split into halves along time, height and width,
down to single pixels of one frame (a quad-tree in space, an oct-tree with time). A region with K states has a
vector of K log-probabilities of its part of the clip, one per state:

- leaf:    l_k = sum over channels c of log sum_v theta_kcv e_cv
- region:  l_k = sum over children j of log sum_m w_jkm l'_jm

The first sum over c and the sum over j are products of the circuit, and the sums over v and m, with weights
that add up to 1, are its sum nodes. At the top, the states of the whole clip are summed over with their
probabilities; all senses are children of one root, so that sight is informative about sound and the reverse.
Regions of one size share their weights, which depend only on a child's place within its parent: an object may
be anywhere. The root also chooses one of several groups, such as a colour. Each group has its own leaves, and
all share the sums, so that a state is a shape and not a shape in a colour.

The input e is evidence: 1 for the levels that are possible and 0 for the others, or the likelihood of an
observation, as of a noised value. The result is log p(e) = log sum over clips x of p(x) prod_i e_i(x_i), for
which one pass from the leaves to the root is exact. Its derivatives are exact posteriors (Darwiche 2003):

  d log p(e) / d log e_iv     = P(x_i = v | e)             one `jax.grad`: all marginals at once
  d log p(e) / d log theta    = expected number of uses    the E-step of EM (`inpainting.em`)

Evidence is a dictionary sense -> log e, [batch, frames, *shape, levels].
"""

import math
from collections.abc import Mapping, Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from stale_jax.clip import Clip
from stale_jax.processes import named_keys

IMPOSSIBLE = -70.0  # Log-evidence of an impossible level: finite, so that derivatives are too.
Evidence = Mapping[str, Float[Array, "batch frames *shape levels"]]


@flax.struct.dataclass
class Circuit:
  """The parameters of a circuit: logarithms of probabilities. K is the number of states of a region.

  Attributes:
    root: log-probabilities of the groups and the states of the whole clip, [groups, K].
    leaves: sense -> log theta, [groups, K, channels, levels].
    sums: sense -> for each size of region, from the smallest, log w [children, K, K of a child].
    edges: the bounds of the levels, increasing from -1 to 1, [levels + 1]; they are not trained.
  """

  root: Float[Array, "groups states"]
  leaves: dict[str, Float[Array, "groups states channels levels"]]
  sums: dict[str, tuple[Array, ...]]
  edges: Float[np.ndarray, "bounds"]


def splits(extents: Sequence[int]) -> list[tuple[int, ...]]:
  """How regions are joined from single elements to the whole: for each size, the factor along each axis."""
  found = []
  while math.prod(extents) > 1:
    factors = tuple(_least_factor(n) for n in extents)
    extents = [n // f for n, f in zip(extents, factors, strict=True)]
    found.append(factors)
  return found[::-1]


def _least_factor(n: int) -> int:
  return next((f for f in range(2, n + 1) if n % f == 0), 1)


def by_child(x: Array, factors: Sequence[int]) -> Array:
  """Groups the elements of regions: [batch, *extents, K] -> [children, batch, *extents / factors, K]."""
  count = len(factors)
  pairs = [part for n, f in zip(x.shape[1:-1], factors, strict=True) for part in (n // f, f)]
  x = x.reshape(x.shape[0], *pairs, x.shape[-1])
  places, regions = range(2, 2 + 2 * count, 2), range(1, 1 + 2 * count, 2)
  x = x.transpose(*places, 0, *regions, 1 + 2 * count)
  return x.reshape(math.prod(factors), *x.shape[count:])


def from_children(x: Array, factors: Sequence[int]) -> Array:
  """The inverse of `by_child`."""
  count, rest = len(factors), x.shape[1:]
  x = x.reshape(*factors, *rest)
  order = [part for i in range(count) for part in (count + 1 + i, i)]
  x = x.transpose(count, *order, 2 * count + 1)
  return x.reshape(rest[0], *(n * f for n, f in zip(rest[1:-1], factors, strict=True)), rest[-1])


def _log_matmul(x: Array, log_weights: Array, equation: str) -> Array:
  """log of einsum(equation, exp(x), exp(log_weights)), without underflow; the last axis of x is summed."""
  shift = jax.lax.stop_gradient(jnp.max(x, -1, keepdims=True))
  total = jnp.einsum(equation, jnp.exp(x - shift), jnp.exp(log_weights))
  return jnp.log(jnp.maximum(total, jnp.finfo(x.dtype).tiny)) + shift


def _upward(circuit: Circuit, name: str, evidence: Array) -> list[Array]:
  """The log-probabilities of all regions of one sense: for each size, [groups * batch, *regions, K]."""
  channels = _log_matmul(evidence, circuit.leaves[name], "...cv,gkcv->g...ck")
  leaves = channels.sum(-2)
  layers = [leaves.reshape(-1, *leaves.shape[2:])]
  for factors, weights in zip(splits(evidence.shape[1:-2]), circuit.sums[name], strict=True):
    children = _log_matmul(by_child(layers[-1], factors), weights, "j...m,jkm->j...k")
    layers.append(children.sum(0))
  return layers


def _whole(circuit: Circuit, layers: list[Array]) -> Float[Array, "groups batch states"]:
  """The log-probabilities of the whole clip, from those of all regions of one sense."""
  groups, states = circuit.root.shape
  return layers[-1].reshape(groups, -1, states)


def log_likelihood(circuit: Circuit, evidence: Evidence) -> Float[Array, "batch"]:
  """log p(e) of each clip, in nats; a sense without evidence is summed out."""
  states = circuit.root[:, None]
  for name, log_e in evidence.items():
    states = states + _whole(circuit, _upward(circuit, name, log_e))
  return jax.nn.logsumexp(states, (0, -1))


def posterior(circuit: Circuit, evidence: Evidence) -> dict[str, Array]:
  """The probability of each level of each value given all evidence, with the shapes of the evidence."""
  return jax.grad(lambda e: log_likelihood(circuit, e).sum())(dict(evidence))


def levels_of(circuit: Circuit, clip: Clip) -> dict[str, Int[Array, "batch frames *shape"]]:
  """The level of each value of a clip."""
  inner = jnp.asarray(circuit.edges)[1:-1]
  return {name: jnp.searchsorted(inner, jnp.asarray(x), side="right") for name, x in clip.items()}


def evidence_of(circuit: Circuit, clip: Clip) -> dict[str, Array]:
  """The evidence of known values: impossible in all levels but their own."""
  count = len(circuit.edges) - 1
  hot = {name: jax.nn.one_hot(x, count) for name, x in levels_of(circuit, clip).items()}
  return {name: (1 - x) * IMPOSSIBLE for name, x in hot.items()}


def sample(circuit: Circuit, key: PRNGKeyArray, evidence: Evidence) -> dict[str, Array]:
  """Draws the levels of clips given evidence, exactly: from the root to the leaves.

  Returns:
    sense -> levels, [batch, frames, *shape].
  """
  layers = {name: _upward(circuit, name, log_e) for name, log_e in evidence.items()}
  tops = circuit.root[:, None] + sum(_whole(circuit, every) for every in layers.values())
  groups, batch, count = tops.shape
  logits = tops.transpose(1, 0, 2).reshape(batch, groups * count)
  group, root = jnp.divmod(jax.random.categorical(named_keys(key, "root"), logits), count)
  drawn = {}
  for name, every in layers.items():
    own, weights = named_keys(key, name), circuit.sums[name]
    every = [x.reshape(groups, batch, *x.shape[1:])[group, jnp.arange(batch)] for x in every]
    steps = splits(every[0].shape[1:-1])
    states = root.reshape(-1, *(1,) * (every[0].ndim - 2))
    for size in reversed(range(len(steps))):
      children = by_child(every[size], steps[size])
      chosen = jax.vmap(lambda w, s: w[s], (0, None))(weights[size], states)
      below = jax.random.categorical(jax.random.fold_in(own, size), chosen + children)
      states = from_children(below[..., None], steps[size])[..., 0]
    logits = jax.vmap(lambda g, s, x=circuit.leaves[name]: x[g, s])(group, states) + evidence[name]
    drawn[name] = jax.random.categorical(jax.random.fold_in(own, len(steps)), logits)
  return drawn
