"""Where in time training looks, and where a sampler stops: densities and grids on [0, 1]."""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, PRNGKeyArray


class TimeDensity(Protocol):
  """A density on [0, 1] by its quantile function; time 1 is the prior."""

  def quantile(self, u: Float[Array, "..."]) -> Float[Array, "..."]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uniform:
  """Every time alike."""

  def quantile(self, u):
    return u


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogitNormal:
  """logit(1 - t) ~ N(mean, std^2): a negative mean looks toward the noise (SD3, arXiv 2403.03206)."""

  mean: float = -1.5
  std: float = 1.5

  def quantile(self, u):
    # The density has no mass at the ends, where ndtri is infinite.
    return jax.nn.sigmoid(-(self.mean + self.std * ndtri(jnp.clip(1 - u, 1e-6, 1 - 1e-6))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shifted:
  """Uniform time sent through `shift` (SD3, eq. 23): a factor above 1 looks toward the noise."""

  factor: float = 6.0

  def quantile(self, u):
    return shift(u, self.factor)


def shift(t, factor: float):
  """t -> a t / (1 + (a - 1) t), which keeps 0 and 1 (SD3, arXiv 2403.03206, eq. 23)."""
  return factor * t / (1 + (factor - 1) * t)


def stratified(key: PRNGKeyArray, density: TimeDensity, batch: int) -> Float[Array, "batch"]:
  """One draw an example, spread evenly over the batch (Kingma et al., arXiv 2107.00630, I.1)."""
  u = (jax.random.uniform(key) + jnp.arange(batch) / batch) % 1.0
  return density.quantile(u)


def grid(steps: int, factor: float = 1.0) -> Float[Array, "steps+1"]:
  """Times from 1 to 0, shifted: a factor above 1 takes smaller steps near the noise."""
  return shift(jnp.linspace(1.0, 0.0, steps + 1), factor)
