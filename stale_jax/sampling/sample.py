"""The whole of generation as one jittable function."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from stale_jax.clip import Clip, Context, Sense
from stale_jax.processes import Process, grid
from stale_jax.sampling.guidance import classifier_free
from stale_jax.sampling.solvers import Denoiser, prior, solve


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """The sampler's settings.

  Attributes:
    solver: "euler", "heun" or "ancestral".
    steps: of the solver.
    guidance: scale of classifier-free guidance; 1 is none.
    shift: of the time grid; above 1 steps are smaller near the noise.
  """

  solver: str = "euler"
  steps: int = 20
  guidance: float = 2.5
  shift: float = 6.0


def sample(
  process: Process,
  denoiser: Denoiser,
  senses: tuple[Sense, ...],
  frames: int,
  context: Context,
  keys: PRNGKeyArray,
  settings: Sampling,
) -> Clip:
  """Draws one clip a key, every frame from time 1 to time 0 together."""
  times = grid(settings.steps, settings.shift)
  times = jnp.broadcast_to(times[:, None, None], (len(times), len(keys), frames))
  x = prior(process, senses, frames, keys)
  guided = classifier_free(denoiser, settings.guidance)
  return solve(process, guided, x, times, context, keys, settings.solver)
