"""The protocols of noising processes.

Every process follows `Process`: corruption, loss and one reverse step. `FlowProcess` adds a probability-flow
ODE, and `MixingProcess` adds the coefficients of x_t = alpha x0 + sigma e. The class attributes say which
protocols a process follows.
"""

from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from stale_jax.processes.moments import Moments

Sample = Float[Array, "batch frames *shape"]
Times = Float[Array, "batch frames"]


class Corruption(NamedTuple):
  """A noised array and the regression target for the network.

  Attributes:
    x_t: the noised array, [batch, frames, *shape].
    target: the regression target, of the same shape; its meaning depends on the process.
  """

  x_t: Array
  target: Array


@runtime_checkable
class Process(Protocol):
  """Noising of one array from the data (time 0) to the prior (time 1), and its reversal.

  Data lie in [-1, 1]. Each frame has its own time, so that a clip may be partly clean. All methods are pure:
  `step` takes its standard-normal noise as an argument.

  - `prior(key, shape)` draws x at time 1.
  - `corrupt(key, x0, t)` draws x_t given x0.
  - `loss(output, corruption, t)` is the training loss, element by element.
  - `denoised(output, x_t, t)` is the estimate of x0.
  - `clock(t)` is the independent variable of the ODE, an increasing function of t.
  - `project(x)` maps the result of a solver step back to the range of the process.
  - `step(noise, output, x_t, t, s)` is one reverse step from t to s < t.
  - `output_for(x0, x_t, t)` is the output of a network that knows x0.

  Attributes:
    has_flow: the process is a `FlowProcess`.
    mixes_noise: the process is a `MixingProcess`.
    draws_noise: `step` uses its noise, so it is not a step of the ODE.
    is_discrete: data are one-hot tokens with values -1 and 1, to which noise cannot be added.
    has_teleport: the process is a `TeleportingProcess`.
  """

  has_flow: ClassVar[bool]
  mixes_noise: ClassVar[bool]
  draws_noise: ClassVar[bool]
  is_discrete: ClassVar[bool]
  has_teleport: ClassVar[bool]

  def prior(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Sample: ...

  def corrupt(self, key: PRNGKeyArray, x0: Sample, t: Times) -> Corruption: ...

  def loss(self, output: Sample, corruption: Corruption, t: Times) -> Sample: ...

  def denoised(self, output: Sample, x_t: Sample, t: Times) -> Sample: ...

  def clock(self, t: Times) -> Times: ...

  def project(self, x: Sample) -> Sample: ...

  def step(self, noise: Sample, output: Sample, x_t: Sample, t: Times, s: Times) -> Sample: ...

  def output_for(self, x0: Sample, x_t: Sample, t: Times) -> Sample: ...


@runtime_checkable
class FlowProcess(Process, Protocol):
  """A process with a probability-flow ODE (`has_flow`).

  - `log_prior(x)` is the log-density of the prior in nats, element by element, inside its support.
  - `to_normal(x)` maps draws of the prior to N(0, 1), element by element; `from_normal(w)` is its inverse.
    A Gaussian w gives an x inside the support of the prior: a Gaussian copula.
  - `residual(output, corruption, t)` is the scaled error of the output, an affine function of it element by
    element; `loss` is its square.
  - `velocity(output, x_t, t)` is dx/dclock of the ODE.
  - `transition(output, x_t, t, s, eta)` is the mean m and the scale v > 0 of a stochastic step from t to s:
    x_s = project(m + v z). It has the noise of `step` for eta = 1 if `draws_noise`, and less for smaller eta.
  - `bridge(key, x0, x_t, t, s, eta)` draws x_s given x_t and the true x0. If x_t is a draw of `corrupt`, so
    is x_s. For eta = 1 and processes that draw noise, it is the posterior of the Markov chain.
  """

  def log_prior(self, x: Sample) -> Sample: ...

  def to_normal(self, x: Sample) -> Sample: ...

  def from_normal(self, w: Sample) -> Sample: ...

  def residual(self, output: Sample, corruption: Corruption, t: Times) -> Sample: ...

  def velocity(self, output: Sample, x_t: Sample, t: Times) -> Sample: ...

  def transition(
    self, output: Sample, x_t: Sample, t: Times, s: Times, eta: float
  ) -> tuple[Sample, Sample]: ...

  def bridge(self, key: PRNGKeyArray, x0: Sample, x_t: Sample, t: Times, s: Times, eta: float) -> Sample: ...


@runtime_checkable
class MixingProcess(FlowProcess, Protocol):
  """A process with x_t = alpha x0 + sigma e (`mixes_noise`).

  - `coefficients(t)` is (alpha, sigma).
  - `interval_evidence(x_t, low, high, t)` is (log p(x_t), E[x0 | x_t]) if x0 is uniform on [low, high],
    element by element; the bounds broadcast against x_t.
  """

  def coefficients(self, t: Times) -> tuple[Times, Times]: ...

  def interval_evidence(self, x_t: Sample, low: Array, high: Array, t: Times) -> tuple[Sample, Sample]: ...


@runtime_checkable
class TeleportingProcess(FlowProcess, Protocol):
  """A process whose ODE near the noise is determined by two moments of the data (`has_teleport`).

  - `coordinate(x0)` is the function of clean values, element by element, whose moments they are.
  - `teleport(moments, x, t, s)` solves the ODE from t to s < t, both near 1 (`processes.moments`).
  """

  def coordinate(self, x0: Array) -> Array: ...

  def teleport(
    self,
    moments: Moments,
    x: Float[Array, "batch values"],
    t: Float[Array, "batch"],
    s: Float[Array, "batch"],
  ) -> Float[Array, "batch values"]: ...


def per_frame(t: Shaped[Array, "batch frames"], like: Sample) -> Array:
  """Reshapes `t` [batch, frames] so that it broadcasts against `like` [batch, frames, *shape]."""
  return jnp.reshape(t, t.shape + (1,) * (like.ndim - t.ndim))
