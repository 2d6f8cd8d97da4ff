"""The settings of one denoising run: solver, steps, guidance, time grid."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number
from stale_jax.processes import grid
from stale_jax.sampling.solvers import SOLVERS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """The sampler's settings.

  Attributes:
    solver: "euler", "heun" (two evaluations of the network per step), "multistep" (second order at one
      evaluation per step, for processes that mix data with noise), "ancestral" (the process's own steps; the
      only one for tokens) or "consistency" (for students that were distilled to few steps).
    steps: of the solver.
    guidance: scale of classifier-free guidance; 1: none.
    interval: times, from near the data (0) to near the noise (1), at which there is guidance. Elsewhere the
      unconditional half is not evaluated.
    shift: of the time grid; above 1 steps are smaller near the noise.
    batch: most clips made at once. Fewer clips are padded to the next power of two, so that few programs are
      compiled; a clip does not depend on how many are made.
  """

  solver: str = choice("euler", SOLVERS)
  steps: int = number(20, least=1)
  guidance: float = number(2.5)
  interval: tuple[float, float] = number((0.0, 1.0), least=0, most=1)
  shift: float = number(6.0, above=0)
  batch: int = number(8, least=1)

  def __post_init__(self):
    check_fields(self, "sampling")
    if self.interval[0] > self.interval[1]:
      raise UserError(f"sampling.interval={self.interval}: two times are needed, 0 <= from <= to <= 1.")

  @property
  def is_guided(self) -> bool:
    """Whether the network is evaluated without its caption, too."""
    return self.guidance != 1

  @property
  def is_limited(self) -> bool:
    """Whether there are times without guidance."""
    return tuple(self.interval) != (0.0, 1.0)

  def width(self, count: int) -> int:
    """How many clips a program makes at once, if `count` are asked for."""
    return min(self.batch, 1 << (count - 1).bit_length())

  def times(self, frames: int) -> Float[Array, "{self.steps}+1 {self.batch} {frames}"]:
    """From 1 to 0, every frame together."""
    times = grid(self.steps, self.shift)
    return jnp.broadcast_to(times[:, None, None], (len(times), self.batch, frames))
