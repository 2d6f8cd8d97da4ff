"""The protocol of guidance rules: how the conditional and the unconditional output are combined."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.processes import Process
from stale_jax.processes.process import Times, per_frame


@runtime_checkable
class Rule(Protocol):
  """A frozen object that combines two outputs of the network for one sense.

  A rule may use statistics of a clip. They are those of one example and one sense, over all frames that are
  not clean (t > 0), so that conditioning frames do not contribute.
  """

  def fits(self, process: Process) -> bool:
    """Whether the rule can be used with `process`."""

  def __call__(
    self, conditional: Array, unconditional: Array, scale: float | Float[Array, "..."], x: Array, t: Times
  ) -> Array:
    """The guided output.

    Args:
      conditional, unconditional: the network's outputs, [batch, frames, *shape].
      scale: the scale of guidance; an array broadcasts against the outputs.
      x: the noised sense.
      t: times of the frames, [batch, frames].
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain:
  """Classifier-free guidance: u + scale (c - u) (Ho and Salimans, arXiv 2207.12598)."""

  def fits(self, process: Process) -> bool:
    """See `Rule`."""
    return True

  def __call__(self, conditional, unconditional, scale, x, t):
    """See `Rule`."""
    return unconditional + scale * (conditional - unconditional)


def total(x: Array, t: Times) -> Array:
  """The sum of `x` over the frames with t > 0, for each example; the summed axes have length 1."""
  return jnp.sum(jnp.where(per_frame(t > 0, x), x, 0), tuple(range(1, x.ndim)), keepdims=True)


def divided(x: Array, y: Array) -> Array:
  """x / y, and 0 where y is 0."""
  return jnp.where(y > 0, x / jnp.where(y > 0, y, 1), 0)
