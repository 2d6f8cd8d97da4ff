"""Guidance: functions from denoiser to denoiser."""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context
from stale_jax.processes.process import per_frame
from stale_jax.sampling.settings import Sampling
from stale_jax.sampling.solvers import Denoiser


@flax.struct.dataclass
class Guidance:
  """Scale and interval of guidance; see `Sampling`."""

  scale: Float[Array, ""]
  interval: Float[Array, "2"]


def guidance_of(settings: Sampling) -> Guidance:
  """As arrays, so that one program serves every value."""
  return Guidance(jnp.float32(settings.guidance), jnp.asarray(settings.interval, jnp.float32))


def both_halves(clip: Clip, t: Float[Array, "batch frames"], context: Context) -> tuple[Clip, Array, Context]:
  """Each twice over in one batch, with its context first and then with none (`Context.withhold`)."""
  everyone = jnp.ones(len(context.text), bool)
  nothing, context = context.withhold(everyone), context.replace(apart=~everyone)
  return jax.tree.map(lambda c, u: jnp.concatenate([c, u]), (clip, t, context), (clip, t, nothing))


def classifier_free(
  denoiser: Denoiser,
  scale: float | Float[Array, ""],
  interval: tuple[float, float] | Float[Array, "2"] | None = None,
) -> Denoiser:
  """output_u + scale (output_c - output_u), both halves in one batch (Ho and Salimans, arXiv 2207.12598).

  The unconditional half is a clip of which nothing is known, with no attention between senses
  (`Context.withhold`): guidance leads toward the caption and toward senses that agree. Frames whose time lies
  outside `interval` are not guided (limited-interval guidance, Kynkäänniemi et al., arXiv 2404.07724); when
  no frame is inside, the captioned half alone is evaluated.

  Args:
    denoiser: of any batch size; of a batch twice as large the captioned half comes first.
    scale: 1 is no guidance.
    interval: the first and the last time at which there is guidance; None: at all times.
  """

  def answers(clip: Clip, t, context: Context) -> tuple[Clip, Clip]:
    halves = {name: jnp.split(o, 2) for name, o in denoiser(*both_halves(clip, t, context)).items()}
    return tuple({name: half[i] for name, half in halves.items()} for i in range(2))

  is_unlimited = interval is None or (isinstance(interval, tuple) and interval == (0.0, 1.0))

  def guided(clip: Clip, t, context: Context) -> Clip:
    if is_unlimited:
      captioned, free = answers(clip, t, context)
      return {name: u + scale * (captioned[name] - u) for name, u in free.items()}
    inside = (interval[0] <= t) & (t <= interval[1])

    def within(clip, t, context):
      captioned, free = answers(clip, t, context)
      weight = jnp.where(inside, scale, 1.0)
      return {name: u + per_frame(weight, u) * (captioned[name] - u) for name, u in free.items()}

    return jax.lax.cond(inside.any(), within, denoiser, clip, t, context)

  return guided
