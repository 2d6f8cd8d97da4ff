"""Guidance: functions from denoiser to denoiser."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context
from stale_jax.objectives.cringe import hinge
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers import Denoiser


def both_halves(clip: Clip, t: Float[Array, "batch frames"], context: Context) -> tuple[Clip, Array, Context]:
  """Each twice over in one batch, with its context first and then with none (`Context.withhold`)."""
  everyone = jnp.ones(len(context.text), bool)
  nothing, context = context.withhold(everyone), context.replace(apart=~everyone)
  return jax.tree.map(lambda c, u: jnp.concatenate([c, u]), (clip, t, context), (clip, t, nothing))


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
    twice = both_halves(clip, t, context)
    inside = (interval[0] <= t) & (t <= interval[1])
    halves = {name: jnp.split(o, 2) for name, o in denoiser(*twice).items()}
    return {n: u + per_frame(jnp.where(inside, scale, 1.0), u) * (c - u) for n, (c, u) in halves.items()}

  return guided


# From this time on 1 / (1 - t) is held constant.
_LATEST = 0.9


def hinge_guidance(
  denoiser: Denoiser,
  scores: Callable[[Clip, Float[Array, "batch frames"], Context], Float[Array, "batch labels"]],
  signs: Float[Array, "batch labels"],
  scale: float | Float[Array, ""],
) -> Denoiser:
  """output - scale t^2 / (1 - t) d hinge / d x_t: classifier guidance (arXiv 2105.05233) for flows.

  Read p(y | x_t) ~ exp(-scale hinge(scores(x_t), y)); its gradient is to be added to the score of
  p_t. For x_t = (1 - t) x0 + t e with e ~ N(0, 1), Tweedie's formula is E[x0 | x_t] = (x_t + t^2
  score) / (1 - t), so that a score that is greater by g moves an x0-style output by t^2 / (1 - t) g,
  and the velocity by -t / (1 - t) g. A flow from the uniform has no such formula; for small t it is the
  same with the variance of e, 1/3, before t^2, which `scale` takes up. The classifier
  of pure noise knows nothing but its errors, which 1 / (1 - t) would blow up: beyond t = .9 it is
  held. What leaves the box comes back through `Process.denoised`. Where every margin is met, the
  hinge and with it the guidance are 0. Not for reflected diffusion, whose outputs are scaled otherwise.

  Args:
    denoiser: guided otherwise or not; this guidance goes around others, not into them.
    scores: of the clip; see `models.scores`.
    signs: of the labels to go to (1) or away from (-1), 0 where any will do; `objectives.targets`.
    scale: of the gradient; 0 is none.
  """

  def guided(clip: Clip, t, context: Context) -> Clip:
    gradient = jax.grad(lambda clip: jnp.sum(hinge(scores(clip, t, context), signs)))(clip)
    factor = scale * jnp.square(t) / (1 - jnp.minimum(t, _LATEST))
    output = denoiser(clip, t, context)
    return {name: x - per_frame(factor, x) * gradient[name] for name, x in output.items()}

  return guided
