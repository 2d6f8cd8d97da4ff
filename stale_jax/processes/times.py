"""Where in time training looks, and where a sampler stops: densities and grids on [0, 1]."""

import dataclasses
import math
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.fields import check_fields, number


@runtime_checkable
class TimeSampler(Protocol):
  """A density on [0, 1] by its quantile function; time 1 is the prior."""

  independent: bool

  def quantile(self, u: Float[Array, "..."]) -> Float[Array, "..."]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Density:
  """What every density has beside its own.

  Attributes:
    independent: whether each frame of a clip is at a time of its own (Diffusion Forcing, arXiv
      2407.01392), so that any frames may be clean while others are made; or all are at one.
  """

  independent: bool = False

  def __post_init__(self):
    check_fields(self, "times")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uniform(_Density):
  """Every time alike."""

  def quantile(self, u):
    return u


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogitNormal(_Density):
  """logit(1 - t) ~ N(mean, std^2): a negative mean looks toward the noise (SD3, arXiv 2403.03206).

  Attributes:
    mean: of logit(1 - t).
    std: standard deviation of logit(1 - t).
  """

  mean: float = number(-1.5)
  std: float = number(1.5, above=0)

  def quantile(self, u):
    # The density has no mass at the ends, where ndtri is infinite.
    return jax.nn.sigmoid(-(self.mean + self.std * ndtri(jnp.clip(1 - u, 1e-6, 1 - 1e-6))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mode(_Density):
  """SD3's density with a mode in the middle (arXiv 2403.03206, eq. 20).

  Attributes:
    scale: from -1 (the ends are favoured) over 0 (uniform) to 2 / (pi - 2) (the middle is).
  """

  scale: float = number(0.8, least=-1, most=2 / (math.pi - 2))

  def quantile(self, u):
    # Theirs, which falls, at 1 - u.
    return u - self.scale * (jnp.square(jnp.sin(math.pi / 2 * u)) - u)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CosMap(_Density):
  """The flow's times at which its log-SNR is that of the cosine schedule (SD3, arXiv 2403.03206, eq. 21)."""

  def quantile(self, u):
    # 1 - 1 / (tan + 1), finite at u = 1.
    sine, cosine = jnp.sin(math.pi / 2 * u), jnp.cos(math.pi / 2 * u)
    return sine / (sine + cosine)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shifted(_Density):
  """Uniform time sent through `shift` (SD3, eq. 23).

  Attributes:
    factor: of `shift`; above 1 it looks toward the noise.
  """

  factor: float = number(6.0, above=0)

  def quantile(self, u):
    return shift(u, self.factor)


def shift(t, factor: float):
  """t -> a t / (1 + (a - 1) t), which keeps 0 and 1 (SD3, arXiv 2403.03206, eq. 23)."""
  return factor * t / (1 + (factor - 1) * t)


def stratified(key: PRNGKeyArray, density: TimeSampler, batch: int) -> Float[Array, "batch"]:
  """One draw an example, spread evenly over the batch (Kingma et al., arXiv 2107.00630, I.1)."""
  u = (jax.random.uniform(key) + jnp.arange(batch) / batch) % 1.0
  return density.quantile(u)


def clip_times(
  key: PRNGKeyArray, density: TimeSampler, batch: int, frames: int
) -> Float[Array, "batch frames"]:
  """One draw a clip, or, of an independent density, one a frame; each frame's spread over the batch."""
  if not density.independent:
    return jnp.broadcast_to(stratified(key, density, batch)[:, None], (batch, frames))

  def one(key):
    key_draw, key_order = jax.random.split(key)
    # In an order of its own: else the times of two frames would differ by as much in every clip.
    return jax.random.permutation(key_order, stratified(key_draw, density, batch))

  return jax.vmap(one, out_axes=1)(jax.random.split(key, frames))


def grid(steps: int, factor: float = 1.0) -> Float[Array, "{steps}+1"]:
  """Times from 1 to 0, shifted: a factor above 1 takes smaller steps near the noise."""
  return shift(jnp.linspace(1.0, 0.0, steps + 1), factor)
