"""Distributions of training times, and time grids for samplers. Time 0 is the data and time 1 the prior."""

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
  """A distribution on [0, 1], given by its quantile function.

  Attributes:
    independent: whether each frame of a clip has its own time.
  """

  independent: bool

  def quantile(self, u: Float[Array, "..."]) -> Float[Array, "..."]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Density:
  """Base class of the distributions: the field that they share.

  Attributes:
    independent: whether each frame of a clip has its own time (Diffusion Forcing, arXiv 2407.01392), so that
      some frames may be clean while others are generated. Otherwise all frames share one time.
  """

  independent: bool = False

  def __post_init__(self):
    check_fields(self, "times")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uniform(_Density):
  """The uniform distribution."""

  def quantile(self, u):
    return u


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogitNormal(_Density):
  """The logit-normal distribution of SD3 (arXiv 2403.03206, sec. 3.1), with the sign of the mean reversed.

  Here logit(1 - t) ~ N(mean, std^2), that is, logit(t) ~ N(-mean, std^2). The paper has
  logit(t) ~ N(m, s^2). In both, t = 0 is the data and t = 1 the noise, so the paper's m is `-mean`: the
  default `mean=-1.5` is m = 1.5, which favours times near the noise.

  Attributes:
    mean: mean of logit(1 - t); the negative of the paper's m.
    std: standard deviation of logit(1 - t); the paper's s.
  """

  mean: float = number(-1.5, least=-100, most=100)
  std: float = number(1.5, above=0, most=100)

  def quantile(self, u):
    # ndtri is infinite at the ends, where the density is 0.
    return jax.nn.sigmoid(-(self.mean + self.std * ndtri(jnp.clip(1 - u, 1e-6, 1 - 1e-6))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mode(_Density):
  """SD3's distribution with heavy tails (arXiv 2403.03206, eq. 20).

  Attributes:
    scale: from -1 (favours the ends) through 0 (uniform) to 2 / (pi - 2) (favours the middle).
  """

  scale: float = number(0.8, least=-1, most=2 / (math.pi - 2))

  def quantile(self, u):
    # The paper's function decreases in u; evaluated at 1 - u it is a quantile function.
    return u - self.scale * (jnp.square(jnp.sin(math.pi / 2 * u)) - u)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CosMap(_Density):
  """Times at which the flow has the log-SNR of the cosine schedule (SD3, arXiv 2403.03206, eq. 21)."""

  def quantile(self, u):
    # 1 - 1 / (tan + 1), written so that it is finite at u = 1.
    sine, cosine = jnp.sin(math.pi / 2 * u), jnp.cos(math.pi / 2 * u)
    return sine / (sine + cosine)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shifted(_Density):
  """Uniform times transformed by `shift` (SD3, arXiv 2403.03206, eq. 23).

  Attributes:
    factor: see `shift`; above 1 it favours times near the noise.
  """

  factor: float = number(6.0, least=1e-3, most=1000)

  def quantile(self, u):
    return shift(u, self.factor)


def shift(t, factor: float):
  """t -> factor t / (1 + (factor - 1) t), which keeps 0 and 1 fixed (SD3, arXiv 2403.03206, eq. 23)."""
  return factor * t / (1 + (factor - 1) * t)


def stratified(key: PRNGKeyArray, density: TimeSampler, batch: int) -> Float[Array, "batch"]:
  """One time per example, spread evenly over the quantiles (Kingma et al., arXiv 2107.00630, I.1)."""
  u = (jax.random.uniform(key) + jnp.arange(batch) / batch) % 1.0
  return density.quantile(u)


def clip_times(
  key: PRNGKeyArray, density: TimeSampler, batch: int, frames: int
) -> Float[Array, "batch frames"]:
  """Draws one time per clip or, if `density.independent`, one per frame.

  Draws are stratified over the batch; independent draws are stratified for each frame.
  """
  if not density.independent:
    return jnp.broadcast_to(stratified(key, density, batch)[:, None], (batch, frames))

  def one(key):
    key_draw, key_order = jax.random.split(key)
    # Permuted, since otherwise the times of two frames would differ by the same amount in every clip.
    return jax.random.permutation(key_order, stratified(key_draw, density, batch))

  return jax.vmap(one, out_axes=1)(jax.random.split(key, frames))


def grid(steps: int, factor: float = 1.0) -> Float[Array, "{steps}+1"]:
  """Time grid from 1 to 0, shifted: a factor above 1 makes the first steps (near the noise) smaller."""
  return shift(jnp.linspace(1.0, 0.0, steps + 1), factor)
