"""The sampler's settings, and the whole of generation as one jittable function."""

import dataclasses
import math
import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from stale_jax.clip import Clip, Context, Sense
from stale_jax.construct import nearest
from stale_jax.errors import UserError
from stale_jax.objectives import hold
from stale_jax.processes import Process, grid
from stale_jax.sampling.solvers import SOLVERS, Denoiser, prior, solve


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """The sampler's settings.

  Attributes:
    solver: "euler", "heun" (two evaluations of the network a step), "multistep" (second order at one
      evaluation a step, for processes that mix data with noise), "ancestral" (the process's own
      steps; for tokens the only one) or "consistency" (of students that were distilled to few steps).
    steps: of the solver.
    guidance: scale of classifier-free guidance; 1 is none.
    interval: of time, from near the data (0) to near the noise (1), in which there is guidance.
    shift: of the time grid; above 1 steps are smaller near the noise.
    batch: clips made at once. Fewer are filled up and more are cut, so that one program
      is compiled and a clip does not depend on how many were asked for.
  """

  solver: str = "euler"
  steps: int = 20
  guidance: float = 2.5
  interval: tuple[float, float] = (0.0, 1.0)
  shift: float = 6.0
  batch: int = 8

  def __post_init__(self):
    if self.solver not in SOLVERS:
      raise UserError(f"unknown solver {self.solver!r}: {nearest(self.solver, SOLVERS)}")
    if self.steps < 1 or self.batch < 1:
      raise UserError(f"steps={self.steps}, batch={self.batch}: at least 1 is needed of each.")
    if not math.isfinite(self.guidance):
      raise UserError(f"guidance={self.guidance}: a finite number is needed; 1 is none.")
    if len(self.interval) != 2 or not 0 <= self.interval[0] <= self.interval[1] <= 1:
      raise UserError(f"interval={self.interval}: two times are needed, 0 <= from <= to <= 1.")
    if not 0 < self.shift < math.inf:
      raise UserError(f"shift={self.shift}: a positive number is needed; 1 is none.")

  def times(self, frames: int) -> Float[Array, "steps+1 batch frames"]:
    """From 1 to 0, every frame together."""
    times = grid(self.steps, self.shift)
    return jnp.broadcast_to(times[:, None, None], (len(times), self.batch, frames))


def renoise(
  process: Process, clip: Clip, noise: Float[Array, "batch *frames"], keys: PRNGKeyArray
) -> tuple[Clip, Float[Array, "batch frames"]]:
  """`clip` brought to the times `noise`, of examples or of frames, and those; at 0 it stays as it is."""
  noise = jnp.reshape(noise, (len(noise), -1))
  t = jnp.broadcast_to(noise, (len(noise), next(iter(clip.values())).shape[1]))

  def one(key, name, x, t):
    return process.corrupt(jax.random.fold_in(key, zlib.crc32(name.encode())), x[None], t[None]).x_t[0]

  return {
    name: jax.vmap(lambda key, x, t, name=name: one(key, name, x, t))(keys, x, t) for name, x in clip.items()
  }, t


def sample(
  process: Process,
  denoiser: Denoiser,
  senses: tuple[Sense, ...],
  times: Float[Array, "steps+1 batch frames"],
  context: Context,
  keys: PRNGKeyArray,
  solver: str,
  steps: Int[Array, ""] | None = None,
  first: Clip | None = None,
  noise: Float[Array, "batch *given"] | None = None,
) -> Clip:
  """Draws one clip a key: from the prior along `times`, the first `steps` if not all, to the data.

  With `first`, sense -> [batch, given frames, *shape], clips begin with these, brought to the times `noise`
  if that is given, and go on from there.
  """
  x = prior(process, senses, times.shape[-1], keys)
  if first:
    at = 0.0
    if noise is not None:
      given = jax.vmap(lambda key: jax.random.fold_in(key, zlib.crc32(b"given")))(keys)
      first, at = renoise(process, first, noise, given)
    x, times, context = hold(x, first, times, context, at)
  return solve(process, denoiser, x, times, context, keys, solver, steps=steps)
