"""Settings of one denoising run: solver, steps, guidance and time grid."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number
from stale_jax.processes import grid
from stale_jax.sampling.solvers import SOLVERS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """Settings of a denoising run.

  Attributes:
    solver: "euler"; "heun" (second order, two evaluations of the network per step); "multistep" (second
      order, one evaluation per step, for processes with x_t = alpha x0 + sigma e); "ancestral" (the process's
      own reverse step; the only solver for tokens); or "consistency" (for students distilled to few steps).
    steps: number of solver steps.
    guidance: scale of classifier-free guidance; 1 disables it.
    interval: smallest and largest time with guidance; 0 is the data and 1 the noise. At other times the
      unconditional half is not evaluated.
    shift: shift of the time grid; above 1, steps near the noise are smaller.
    batch: largest number of clips made at once. Smaller batches are padded to the next power of two, so that
      few programs are compiled; a clip does not depend on the batch size.
  """

  solver: str = choice("euler", SOLVERS)
  steps: int = number(20, least=1, most=100_000)
  guidance: float = number(2.5, least=-1000, most=1000)
  interval: tuple[float, float] = number((0.0, 1.0), least=0, most=1)
  shift: float = number(6.0, least=1e-3, most=1000)
  batch: int = number(8, least=1, most=1 << 16)

  def __post_init__(self):
    check_fields(self, "sampling")
    if self.interval[0] > self.interval[1]:
      raise UserError(f"sampling.interval={self.interval}: two times are needed, 0 <= from <= to <= 1.")

  @property
  def is_guided(self) -> bool:
    """Whether the network is also evaluated without its caption."""
    return self.guidance != 1

  @property
  def is_limited(self) -> bool:
    """Whether guidance is disabled at some times."""
    return tuple(self.interval) != (0.0, 1.0)

  def width(self, count: int) -> int:
    """The batch size of the program that makes `count` clips."""
    return min(self.batch, 1 << (count - 1).bit_length())

  def times(self, frames: int) -> Float[Array, "{self.steps}+1 {self.batch} {frames}"]:
    """The time grid from 1 to 0, the same for all frames, [steps + 1, batch, frames]."""
    times = grid(self.steps, self.shift)
    return jnp.broadcast_to(times[:, None, None], (len(times), self.batch, frames))
