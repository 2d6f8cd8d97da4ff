"""Settings of one denoising run: solver, steps, guidance and time grid."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Sense
from stale_jax.construct import construct
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number
from stale_jax.processes import grid
from stale_jax.sampling.grids import GRIDS, SHIFTS, tokens_of
from stale_jax.sampling.guidance import RULES
from stale_jax.sampling.solvers import SOLVERS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """Settings of a denoising run.

  Attributes:
    solver: "euler"; "heun" (second order, two evaluations of the network per step); "multistep" (second
      order, one evaluation per step, for processes with x_t = alpha x0 + sigma e), or its relatives
      "dpmpp_2m", "dpmpp_2m_sde" (stochastic, for Gaussian noise) and "unipc"; "ancestral" (the process's own
      reverse step; the only solver for tokens); or "consistency" (for students distilled to few steps).
    steps: number of solver steps.
    guidance: scale of classifier-free guidance; 1 disables it.
    guidance_ramp: scales at evenly spaced frames of a clip, with straight lines between them, in place of
      `guidance`: (1, 3) rises from the first frame to the last, as in Stable Video Diffusion; (1, 2.5, 1)
      suits an orbit, which ends where it began; (): the same scale for all frames.
    guidance_kind: how the output with the caption and the output without it are combined
      (`sampling.guidance`): "cfg", plainly; "rescaled", with the standard deviation of the output with the
      caption; "apg", adaptive projected guidance; or "cfg_zero", CFG-Zero*.
    rescale: for "rescaled": the share of the rescaled output.
    parallel: for "apg": the weight of the part of guidance that is parallel to the output with the caption.
    norm_limit: for "apg": the largest norm of the difference of the outputs; 0: no limit.
    skip_layers: blocks that skip-layer guidance leaves out, for example (2, 3); (): no skip-layer guidance.
    skip_scale: scale of skip-layer guidance.
    skip_interval: smallest and largest time with skip-layer guidance. The default is SD3.5's: the steps from
      1 to 20 per cent of the grid, with a shift of 3.
    interval: smallest and largest time with guidance; 0 is the data and 1 the noise. At other times the
      unconditional half is not evaluated.
    shift: shift of the time grid; above 1, steps near the noise are smaller.
    shift_kind: "constant": `shift` for all clips; "sd3": `shift` for clips of `shift_tokens` tokens, and in
      proportion to the root of the number of tokens for others; "flux": Flux's function of the number of
      tokens, which does not use `shift`.
    shift_tokens: see `shift_kind`.
    grid: spacing of the time grid (`sampling.grids`): "linear", shifted by `shift`; or "karras",
      "exponential" or "beta" between the first time and the last time above 0 of that grid.
    zero_steps: number of first steps in which the noise is not changed, while time goes on (zero-init of
      CFG-Zero*, arXiv 2503.18886).
    batch: largest number of clips made at once. Smaller batches are padded to the next power of two, so that
      few programs are compiled; a clip does not depend on the batch size.
  """

  solver: str = choice("euler", SOLVERS)
  steps: int = number(20, least=1, most=100_000)
  guidance: float = number(2.5, least=-1000, most=1000)
  guidance_ramp: tuple[float, ...] = number((), least=-1000, most=1000)
  guidance_kind: str = choice("cfg", RULES)
  rescale: float = number(0.7, least=0, most=1)
  parallel: float = number(0.0, least=0, most=1)
  norm_limit: float = number(0.0, least=0)
  skip_layers: tuple[int, ...] = number((), least=0)
  skip_scale: float = number(2.8, least=-1000, most=1000)
  skip_interval: tuple[float, float] = number((0.92, 1.0), least=0, most=1)
  interval: tuple[float, float] = number((0.0, 1.0), least=0, most=1)
  shift: float = number(6.0, least=1e-3, most=1000)
  shift_kind: str = choice("constant", SHIFTS)
  shift_tokens: int = number(4096, least=1)
  grid: str = choice("linear", GRIDS)
  zero_steps: int = number(0, least=0)
  batch: int = number(8, least=1, most=1 << 16)

  def __post_init__(self):
    check_fields(self, "sampling")
    for name in ("interval", "skip_interval"):
      least, most = vars(self)[name]
      if least > most:
        raise UserError(f"sampling.{name}={(least, most)}: two times are needed, 0 <= from <= to <= 1.")
    if self.skip_layers and not self.is_guided:
      raise UserError(
        f"sampling.skip_layers={self.skip_layers} needs guidance: sampling.guidance must not be 1."
      )
    if self.zero_steps >= self.steps:
      raise UserError(
        f"sampling.zero_steps={self.zero_steps} leaves no step: it must be less than steps={self.steps}."
      )

  @property
  def is_guided(self) -> bool:
    """Whether the network is also evaluated without its caption."""
    return any(scale != 1 for scale in self.guidance_ramp or (self.guidance,))

  @property
  def is_limited(self) -> bool:
    """Whether guidance is disabled at some times."""
    return tuple(self.interval) != (0.0, 1.0)

  def scale(self, frames: int) -> Float[Array, ""] | Float[Array, "{frames}"]:
    """The scale of guidance: of all frames of a clip, or of each if there is a ramp.

    With (least, most) it is the linear ramp of Stable Video Diffusion (arXiv 2311.15127), and with (least,
    most, least) the triangular one of its orbits.
    """
    if not self.guidance_ramp:
      return jnp.float32(self.guidance)
    ends = np.linspace(0, 1, len(self.guidance_ramp))
    return jnp.asarray(np.interp(np.linspace(0, 1, frames), ends, self.guidance_ramp), jnp.float32)

  def width(self, count: int) -> int:
    """The batch size of the program that makes `count` clips."""
    return min(self.batch, 1 << (count - 1).bit_length())

  def times(
    self, frames: int, senses: Sequence[Sense] = ()
  ) -> Float[Array, "{self.steps}+1 {self.batch} {frames}"]:
    """The time grid from 1 to 0, the same for all frames, [steps + 1, batch, frames].

    Args:
      frames: number of frames that are denoised together.
      senses: senses of the clip, whose number of tokens determines the shift unless it is constant.
    """
    if self.shift_kind != "constant" and not senses:
      raise ValueError(f"shift_kind={self.shift_kind!r} needs the senses of the clip.")
    tokens = tokens_of(senses, frames)
    times = grid(self.steps, SHIFTS[self.shift_kind](self.shift, tokens, self.shift_tokens))
    if self.grid != "linear":
      times = jnp.asarray(GRIDS[self.grid](np.asarray(times)), times.dtype)
    if self.zero_steps:
      times = jnp.minimum(times, times[self.zero_steps])
    return jnp.broadcast_to(times[:, None, None], (len(times), self.batch, frames))


def overridden(settings: Sampling, **overrides: Any) -> Sampling:
  """`settings` with all `overrides` that are not None.

  Raises:
    UserError: a setting is unknown or out of range.
  """
  given = {name: value for name, value in overrides.items() if value is not None}
  if "guidance" in given:  # One scale for all frames replaces a ramp of the config.
    given = {"guidance_ramp": (), **given}
  return construct(Sampling, {**vars(settings), **given}, "sampling")
