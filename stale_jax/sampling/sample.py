"""The whole of generation as one jittable function."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from stale_jax.clip import Clip, Context, Sense
from stale_jax.objectives import hold
from stale_jax.processes import Process, corrupt, named_keys
from stale_jax.sampling.solve import prior, solve
from stale_jax.sampling.solvers import Denoiser


def renoise(
  process: Process, clip: Clip, noise: Float[Array, "batch *frames"], keys: Key[Array, "batch"]
) -> tuple[Clip, Float[Array, "batch frames"]]:
  """(`clip` brought to the times `noise`, of examples or of frames; these times). At 0 it stays as it is."""
  noise = jnp.reshape(noise, (len(noise), -1))
  t = jnp.broadcast_to(noise, (len(noise), next(iter(clip.values())).shape[1]))
  return {name: c.x_t for name, c in corrupt(process, clip, t, keys).items()}, t


def sample(
  process: Process,
  denoiser: Denoiser,
  senses: tuple[Sense, ...],
  times: Float[Array, "grid batch frames"],
  context: Context,
  keys: Key[Array, "batch"],
  solver: str,
  steps: Int[Array, ""] | None = None,
  first: Clip | None = None,
  noise: Float[Array, "batch *given"] | None = None,
) -> Clip:
  """Draws one clip per key: from the prior along `times`, the first `steps` of them if not all, to the data.

  Args:
    process, denoiser, times, context, keys, solver, steps: see `solve`.
    senses: of the clips.
    first: sense -> [batch, given frames, *shape], the frames that clips begin with.
    noise: the times that `first` is brought to; None: it stays clean.
  """
  x = prior(process, senses, times.shape[-1], keys)
  if first:
    at = 0.0
    if noise is not None:
      first, at = renoise(process, first, noise, named_keys(keys, "given"))
    x, times, context = hold(x, first, times, context, at)
  return solve(process, denoiser, x, times, context, keys, solver, steps=steps)
