"""Sampling from a process whose mean depends on the caption (ContextDiff; `processes.contextual`)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from stale_jax.clip import Clip, Context
from stale_jax.errors import UserError
from stale_jax.processes import corrupt_array, named_keys
from stale_jax.processes.contextual import Biased, into_the_box
from stale_jax.processes.process import per_frame
from stale_jax.sampling.solvers import Reverse

# (clip, context) -> h of every sense, in [-1, 1]; see `models.relation`.
Relate = Callable[[Clip, Context], Clip]


def contextual_sample(reverse: Reverse, relate: Relate, x: Clip, eta: Float[Array, ""] | float = 0.0) -> Clip:
  """Solves the reverse process with bias from times[0] to times[-1]; with h = 0, that without.

  Every step has one evaluation of the denoiser and one of the relation, at its x0_hat.

  Args:
    reverse: process, denoiser, grid, context, keys.
    relate: the relation.
    x: the clip at times[0], for example a draw of the prior.
    eta: share of fresh noise in a step; 0: none (DDIM).

  Raises:
    UserError: the process does not mix data with noise.
  """

  def body(step, x):
    return contextual_step(
      reverse, relate, x, step, {n: reverse.noise(n, step, v) for n, v in x.items()}, eta
    )

  return jax.lax.fori_loop(0, len(reverse.times) - 1, body, x)


def contextual_edit(
  reverse: Reverse, relate: Relate, clip: Clip, eta: Float[Array, ""] | float = 0.0
) -> Clip:
  """Noises `clip` with the bias of the caption in `reverse.context`, and samples from there.

  As SDEdit (Meng et al., arXiv 2108.01073), but the noised clip leans to what the caption says about it.

  Args:
    reverse, relate, eta: see `contextual_sample`; the grid begins at the time to which the clip is noised.
    clip: sense -> [batch, frames, *shape], in [-1, 1].
  """
  check_mixes(reverse)
  related, keys = relate(clip, reverse.context), named_keys(reverse.keys, "edit")

  def noised(name, x):
    biased = Biased(process=reverse.process, relation=into_the_box(related[name], x))
    drawn = corrupt_array(reverse.process, x, reverse.times[0], named_keys(keys, name)).x_t
    return drawn + biased.bias(reverse.times[0])

  return contextual_sample(reverse, relate, {name: noised(name, x) for name, x in clip.items()}, eta)


def contextual_step(
  reverse: Reverse, relate: Relate, x: Clip, step: Int[Array, ""], noise: Clip, eta: Float[Array, ""] | float
) -> Clip:
  """One step with explicit noise; frames whose time does not fall are returned unchanged."""
  check_mixes(reverse)
  process, (t, s) = reverse.process, reverse.between(step)
  output = reverse.evaluate(x, t)
  clean = {name: process.denoised(output[name], x[name], t) for name in x}
  related = relate(clean, reverse.context)

  def one(name):
    biased = Biased(process=process, relation=into_the_box(related[name], clean[name]))
    mean, scale = biased.transition(output[name], x[name], t, s, eta)
    return jnp.where(per_frame(s < t, mean), process.project(mean + scale * noise[name]), x[name])

  return {name: one(name) for name in x}


def check_mixes(reverse: Reverse) -> None:
  """Raises UserError unless the process has x_t = alpha x0 + sigma e."""
  if not reverse.process.mixes_noise:
    raise UserError(
      f"{type(reverse.process).__name__} does not mix data with noise, so that it has no bias of context; "
      "use uniform_flow or a Gaussian process."
    )
