"""Tuned distributions of the initial noise: a Gaussian copula over the prior of the process (FIND).

FIND (Chen et al., arXiv 2407.19453) replaces the initial noise N(0, I) of a frozen sampler by a Gaussian
whose mean and covariance are tuned to a reward. Here the noise is x_T = from_normal(w), w ~ N(mu, Sigma).
`from_normal` maps N(0, 1) to the prior of the process, element by element: it is the identity for Gaussian
processes, and 2 Phi(w) - 1 for the uniform prior of `uniform_flow` and `reflected`. So x_T never leaves the
support of the prior, and at mu = 0, Sigma = I its law is the prior.

mu and Sigma are restricted to a subspace. Let the rows of C be orthonormal, and c = C w the coordinates of w:

  c ~ N(m, diag(s^2)),   and w - C^T c is standard normal and independent of c.

Then mu = C^T m and Sigma = I + C^T (diag(s^2) - I) C: the identity and a matrix of low rank. In the
likelihood ratio of two such distributions everything but c cancels, and so does the Jacobian of
`from_normal`: the ratio for x_T is that of two diagonal Gaussians for c. This is what makes likelihood ratios
usable at all. A log-ratio is a sum over the tuned dimensions; over the thousands of values of a clip, any
step would saturate the clipping of PPO, and a few hundred samples cannot say which of the values matter.

The rows of C are low frequencies: the cosine transform (DCT-II) along time and space, separately for each
channel. A clip of several senses has few values in all but sight, and one sense follows another, so that much
of what the noise decides can be tuned in a few dozen coordinates.
"""

import dataclasses
import functools
from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from stale_jax.clip import Clip, Sense
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.processes import Process
from stale_jax.sampling.solve import prior


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coarse:
  """The subspace of the noise that is tuned.

  Attributes:
    senses: senses whose noise is tuned; () for all.
    times: number of frequencies along time.
    sides: number of frequencies along each axis of space.
  """

  senses: tuple[str, ...] = ()
  times: int = number(3, least=1)
  sides: int = number(2, least=1)

  def __post_init__(self):
    check_fields(self, "coarse")

  def flat(self, senses: Sequence[Sense], frames: int) -> "NoisePrior":
    """The prior of the process itself, m = 0 and s = 1, as a `NoisePrior` of clips of `frames` frames.

    Raises:
      UserError: none of `senses` has one of these names.
    """
    known = {sense.name: sense.shape for sense in senses}
    tuned = self.senses or tuple(known)
    if unknown := [name for name in tuned if name not in known]:
      raise UserError(f"coarse.senses={unknown}: the model has {', '.join(known)}.")
    grids = {
      name: (min(self.times, frames), *(min(self.sides, size) for size in known[name][:-1]), known[name][-1])
      for name in tuned
    }
    zeros = {name: jnp.zeros(grid) for name, grid in grids.items()}
    return NoisePrior(frames=frames, mean=zeros, log_std=dict(zeros))


def coordinates(w: Float[Array, "batch frames *shape"], grid: tuple[int, ...]) -> Float[Array, "batch *grid"]:
  """C w: the coordinates [batch, *grid] of normal noise; `grid` is [times, *sides, channels]."""
  for axis, size in enumerate(grid[:-1], 1):
    w = jnp.moveaxis(jnp.tensordot(_cosines(size, w.shape[axis]), w, (1, axis)), 0, axis)
  return w


def spread(c: Float[Array, "batch *grid"], shape: tuple[int, ...]) -> Float[Array, "batch frames *shape"]:
  """C^T c: noise [batch, *shape] with the coordinates `c`; `shape` is [frames, *shape of the sense]."""
  for axis, size in enumerate(shape[:-1], 1):
    c = jnp.moveaxis(jnp.tensordot(_cosines(c.shape[axis], size), c, (0, axis)), 0, axis)
  return c


@functools.cache
def _cosines(count: int, size: int) -> Float[np.ndarray, "{count} {size}"]:
  """The first `count` rows of the orthonormal DCT-II of `size` numbers."""
  k, n = np.arange(count)[:, None], np.arange(size)
  rows = np.cos(np.pi * k * (n + 0.5) / size) * np.sqrt(2 / size)
  rows[0] /= np.sqrt(2)
  return rows.astype(np.float32)


@flax.struct.dataclass
class NoisePrior:
  """A distribution of the initial noise of clips, or of the first frames of longer clips.

  Attributes:
    mean: sense -> m, the means of the coordinates, [times, *sides, channels].
    log_std: sense -> log s, of the same shapes.
    frames: number of frames whose noise it describes.
    name: where it was read from, for the description of movies.
  """

  mean: dict[str, Float[Array, "..."]]
  log_std: dict[str, Float[Array, "..."]]
  frames: int = flax.struct.field(pytree_node=False)
  name: str = flax.struct.field(pytree_node=False, default="tuned")

  def check(self, process: Process, senses: Sequence[Sense], frames: int) -> None:
    """Raises UserError unless this is a prior for clips of `frames` frames of these senses."""
    if not process.has_flow:
      raise UserError("a tuned prior needs continuous noise, and this model denoises tokens: leave it out.")
    known = {sense.name: sense.shape for sense in senses}
    for name, mean in self.mean.items():
      if name not in known:
        raise UserError(f"the prior tunes the noise of {name}, and the model has only {', '.join(known)}.")
      grid, shape = mean.shape, (self.frames, *known[name])
      fits = len(grid) == len(shape) and all(a <= b for a, b in zip(grid, shape, strict=True))
      if not fits or grid[-1] != shape[-1]:
        raise UserError(f"the prior has coordinates {grid} of {name}, which do not fit its noise {shape}.")
    if frames < self.frames:
      raise UserError(f"the prior is for clips of at least {self.frames} frames; the clip has {frames}.")

  @functools.partial(jax.jit, static_argnums=(1, 2))
  def draw(self, process: Process, senses: tuple[Sense, ...], keys: Key[Array, "batch"]) -> Clip:
    """Draws initial noise, one clip per key: that of `sampling.prior` for the same keys, transported.

    w of the prior becomes w + C^T (m + (s - 1) C w), so that at m = 0, s = 1 nothing changes but rounding.

    Returns:
      sense -> [batch, frames, *shape], for all `senses`; those that are not tuned are not changed.
    """
    x = prior(process, senses, self.frames, keys)

    def transported(name):
      w, mean = process.to_normal(x[name]), self.mean[name]
      change = mean + jnp.expm1(self.log_std[name]) * coordinates(w, mean.shape)
      return process.from_normal(w + spread(change, x[name].shape[1:]))

    return {**x, **{name: transported(name) for name in self.mean}}

  @functools.partial(jax.jit, static_argnums=(1, 2))
  def coordinates(self, process: Process, senses: tuple[Sense, ...], keys: Key[Array, "batch"]) -> Clip:
    """The coordinates c of the noise that `draw` returns, sense -> [batch, times, *sides, channels].

    They are not computed from this noise, in which values at the walls of a box have lost their digits.
    """
    tuned = tuple(sense for sense in senses if sense.name in self.mean)
    x = prior(process, tuned, self.frames, keys)

    def moved(name):
      mean = self.mean[name]
      return mean + jnp.exp(self.log_std[name]) * coordinates(process.to_normal(x[name]), mean.shape)

    return {name: moved(name) for name in self.mean}
