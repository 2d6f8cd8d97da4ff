"""Classifier-free guidance."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip, Context
from stale_jax.processes.process import per_frame
from stale_jax.sampling.guidance.rule import Plain, Rule
from stale_jax.sampling.guidance.skip_layers import Push
from stale_jax.sampling.solvers import Denoiser, Switch


def both_halves(clip: Clip, t: Float[Array, "batch frames"], context: Context) -> tuple[Clip, Array, Context]:
  """Concatenates the conditional half and the unconditional half, in this order, along the batch axis.

  Both halves have the same clip and times. The unconditional half has the context that
  `Context.drop_condition` returns. The conditional half has `context`, with `independent_senses` False for
  every example.

  Returns:
    (clip, times, context), each with twice as many rows.
  """
  everyone = jnp.ones(len(context.text), bool)
  nothing, context = context.drop_condition(everyone), context.replace(independent_senses=~everyone)
  return jax.tree.map(lambda c, u: jnp.concatenate([c, u]), (clip, t, context), (clip, t, nothing))


def classifier_free(
  denoiser: Denoiser,
  scale: float | Float[Array, "*frames"],
  interval: tuple[float, float] | Float[Array, "2"] | None = None,
  rule: Rule = Plain(),  # noqa: B008
  push: Push | None = None,
) -> Denoiser:
  """Returns a denoiser that combines a conditional and an unconditional output, from two evaluations.

  By default its output is output_u + scale (output_c - output_u). This is classifier-free guidance (Ho and
  Salimans, arXiv 2207.12598); output_c is conditional on the caption and output_u is not.

  The unconditional half has no caption and no attention between senses (`Context.drop_condition`). Guidance
  therefore moves the clip towards its caption and towards agreement between senses. Frames whose time lies
  outside `interval` are not guided (limited-interval guidance, Kynkäänniemi et al., arXiv 2404.07724).

  Both halves are evaluated in one batch. If no frame is inside the interval, only the conditional half is
  evaluated.

  Args:
    denoiser: accepts any batch size. In a batch of both halves, the conditional half comes first.
    scale: guidance scale, one for all frames or one per frame, [frames]; 1 disables guidance.
    interval: smallest and largest time with guidance; None for all times.
    rule: how the two outputs are combined.
    push: skip-layer guidance, added to the guided output; None for none.
  """
  is_limited = interval is not None and not (isinstance(interval, tuple) and interval == (0.0, 1.0))

  def inside(t):
    return (interval[0] <= t) & (t <= interval[1])

  def scale_of(x: Array):
    return jnp.reshape(scale, (-1,) + (1,) * (x.ndim - 2)) if jnp.ndim(scale) else scale

  def pairs(clip: Clip, t, context: Context) -> dict[str, tuple[Array, Array]]:
    halves = {name: jnp.split(o, 2) for name, o in denoiser(*both_halves(clip, t, context)).items()}
    return {name: (c, rule(c, u, scale_of(c), clip[name], t)) for name, (c, u) in halves.items()}

  def limited(both: dict[str, tuple[Array, Array]], t) -> Clip:
    if not is_limited:
      return {name: g for name, (_, g) in both.items()}
    return {name: jnp.where(per_frame(inside(t), c), g, c) for name, (c, g) in both.items()}

  def guided(clip: Clip, t, context: Context) -> Clip:
    return limited(pairs(clip, t, context), t)

  def pushed(clip: Clip, t, context: Context) -> Clip:
    skipped, pushes = push.denoiser(clip, t, context), push.skip.inside(t)

    def add(name, c, g):
      return c, jnp.where(per_frame(pushes, g), g + push.skip.scale * (c - skipped[name]), g)

    return limited({name: add(name, c, g) for name, (c, g) in pairs(clip, t, context).items()}, t)

  there = guided
  if push is not None:
    there = Switch(inside=lambda t: push.skip.inside(t).any((-2, -1)), there=pushed, elsewhere=guided)
  if not is_limited:
    return there
  return Switch(inside=lambda t: inside(t).any((-2, -1)), there=there, elsewhere=denoiser)
