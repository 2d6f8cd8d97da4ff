"""Guidance: functions from denoiser to denoiser."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers import Denoiser


def classifier_free(
  denoiser: Denoiser,
  scale: float | Float[Array, ""],
  interval: tuple[float, float] | Float[Array, "2"] = (0.0, 1.0),
) -> Denoiser:
  """output_u + scale (output_c - output_u), both halves in one batch (Ho and Salimans, arXiv 2207.12598).

  The unconditional half is a clip of which nothing is known, the senses denoised each by
  itself (`Context.withhold`): it leads toward the caption and toward senses that agree.
  Frames whose time lies outside `interval` are not guided (limited-interval guidance,
  Kynkäänniemi et al., arXiv 2404.07724).
  """

  def guided(clip: Clip, t, context: Context) -> Clip:
    everyone = jnp.ones(len(context.text), bool)
    nothing, context = context.withhold(everyone), context.replace(apart=~everyone)
    twice = jax.tree.map(lambda c, u: jnp.concatenate([c, u]), (clip, t, context), (clip, t, nothing))
    inside = (interval[0] <= t) & (t <= interval[1])
    halves = {name: jnp.split(o, 2) for name, o in denoiser(*twice).items()}
    return {n: u + per_frame(jnp.where(inside, scale, 1.0), u) * (c - u) for n, (c, u) in halves.items()}

  return guided
