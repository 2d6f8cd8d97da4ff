"""Generation of clips as one jittable function."""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from stale_jax.clip import Clip, Context, Sense
from stale_jax.objectives import hold
from stale_jax.processes import Process, corrupt, named_keys
from stale_jax.sampling.inpainting.known import Known
from stale_jax.sampling.solve import beginning, prior, solve
from stale_jax.sampling.solvers import Denoiser


@runtime_checkable
class Start(Protocol):
  """The state from which a solver starts, as a function of the draw of the prior; a JAX pytree.

  - `skipped(steps)` is the number of first solver steps that it replaces, of `steps` in all.
  - `__call__(process, x, t)` maps the draw `x` of the prior to the state at the times `t`, where the
    remaining steps begin.
  """

  def skipped(self, steps: int) -> int: ...

  def __call__(self, process: Process, x: Clip, t: Float[Array, "batch frames"]) -> Clip: ...


def renoise(
  process: Process, clip: Clip, noise: Float[Array, "batch *frames"], keys: Key[Array, "batch"]
) -> tuple[Clip, Float[Array, "batch frames"]]:
  """Noises `clip` to the times `noise`, one per example or one per frame; time 0 leaves a frame unchanged.

  Returns:
    (the noised clip, its times [batch, frames]).
  """
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
  steps: int | Int[Array, ""] | None = None,
  first: Clip | None = None,
  noise: Float[Array, "batch *given"] | None = None,
  start: Start | None = None,
  initial: Clip | None = None,
  known: Known | None = None,
) -> Clip:
  """Draws one clip per key by solving the reverse process from the prior along `times`.

  Args:
    process, denoiser, times, context, keys, solver, steps: see `solve`.
    senses: the senses of the clips.
    first: conditioning frames at the start of each clip, sense -> [batch, given frames, *shape].
    noise: the times to which `first` is noised, per example or per frame; None keeps it clean.
    start: maps the draw of the prior to the state at times[0]; None: the draw is this state.
    initial: see `Request.initial_noise`.
    known: known values, which the clips will have; None for none.

  Returns:
    The clips, sense -> [batch, frames, *shape], including the conditioning frames.
  """
  given = next(iter(first.values())).shape[1] if first else 0
  x = beginning(prior(process, senses, times.shape[-1], keys), initial, given)
  if start is not None:
    x = start(process, x, times[0])
  if first:
    at = 0.0
    if noise is not None:
      first, at = renoise(process, first, noise, named_keys(keys, "given"))
    x, times, context = hold(x, first, times, context, at)
  if known is None:
    return solve(process, denoiser, x, times, context, keys, solver, steps=steps)
  x, times = known.begin(x, times)
  denoiser = known.denoiser(process, denoiser)
  return known.paste(solve(process, denoiser, x, times, context, keys, solver, steps=steps))
