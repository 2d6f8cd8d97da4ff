"""The protocol every process follows: how a clip goes stale, and how one step is undone."""

from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

Sample = Float[Array, "batch frames *shape"]
Times = Float[Array, "batch frames"]


class Corruption(NamedTuple):
  """A noised array and what the network's output is compared with.

  Attributes:
    x_t: the noised array, [batch, frames, *shape].
    target: the process's own regression target, same shape; opaque to callers.
  """

  x_t: Array
  target: Array


@runtime_checkable
class Process(Protocol):
  """One array going from data (time 0) to the prior (time 1), and back.

  Data live in [-1, 1]. Time has one value per frame, so that a clip may be partly clean. `project` brings
  what a solver made back to where the data can be. Every method is pure; noise is drawn outside and passed
  in, standard normal. What only some processes have is declared, and asked for before it is used:

  Attributes:
    has_flow: there is a probability-flow ODE, and `velocity` is its dx/dclock; `log_prior` is the prior's
      log-density in nats, value by value, within its support; `residual` is affine in the output, value by
      value, and `loss` is its square.
    mixes_noise: x_t = alpha x0 + sigma e, and `coefficients` are (alpha, sigma).
    draws_noise: `step` draws fresh noise, so that it is not a step of the ODE.
    is_discrete: data are one-hot tokens, in -1 and 1, to which nothing can be added.
  """

  has_flow: ClassVar[bool]
  mixes_noise: ClassVar[bool]
  draws_noise: ClassVar[bool]
  is_discrete: ClassVar[bool]

  def prior(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Sample: ...

  def corrupt(self, key: PRNGKeyArray, x0: Sample, t: Times) -> Corruption: ...

  def loss(self, output: Sample, corruption: Corruption, t: Times) -> Sample: ...

  def denoised(self, output: Sample, x_t: Sample, t: Times) -> Sample: ...

  def clock(self, t: Times) -> Times: ...

  def project(self, x: Sample) -> Sample: ...

  def step(self, noise: Sample, output: Sample, x_t: Sample, t: Times, s: Times) -> Sample: ...


@runtime_checkable
class FlowProcess(Process, Protocol):
  """A process with `has_flow`."""

  def log_prior(self, x: Sample) -> Sample: ...

  def residual(self, output: Sample, corruption: Corruption, t: Times) -> Sample: ...

  def velocity(self, output: Sample, x_t: Sample, t: Times) -> Sample: ...

  def noise_of(self, x_s: Sample, output: Sample, x_t: Sample, t: Times, s: Times) -> Sample: ...


@runtime_checkable
class MixingProcess(FlowProcess, Protocol):
  """A process with `mixes_noise`."""

  def coefficients(self, t: Times) -> tuple[Times, Times]: ...


def per_frame(t: Shaped[Array, "batch frames"], like: Sample) -> Array:
  """Shapes `t` [batch, frames] to broadcast against `like` [batch, frames, *shape]."""
  return jnp.reshape(t, t.shape + (1,) * (like.ndim - t.ndim))
