"""Guidance: functions from denoiser to denoiser."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context
from stale_jax.sampling.solvers import Denoiser


def classifier_free(denoiser: Denoiser, scale: float | Float[Array, ""]) -> Denoiser:
  """output_u + scale (output_c - output_u), both halves in one batch (Ho and Salimans, arXiv 2207.12598).

  The unconditional half is a clip of which nothing is known, the senses denoised each by
  itself (`Context.withhold`): it leads toward the caption and toward senses that agree.
  """

  def guided(clip: Clip, t, context: Context) -> Clip:
    everyone = jnp.ones(len(context.text), bool)
    nothing, context = context.withhold(everyone), context.replace(apart=~everyone)
    twice = jax.tree.map(lambda c, u: jnp.concatenate([c, u]), (clip, t, context), (clip, t, nothing))
    output = denoiser(*twice)
    return {name: u + scale * (c - u) for name, (c, u) in ((n, jnp.split(o, 2)) for n, o in output.items())}

  return guided
