"""Distribution matching distillation: a student's clips are moved to where real ones are likelier.

Of a student's clip x, noised, two models tell what it was: one that knows real clips (the teacher), one that
follows the student's own (the critic). Their difference, the *fake* estimate less the *real* one, is the way
that x should not go (DMD: Yin et al., arXiv 2311.18828, eq. 7, with the weight of eq. 8).

With Gaussian noise that difference is, by Tweedie's formula, the one of the scores, and the expected step
the gradient of the divergence KL(student | real) of the noised clips. Of a uniform source there is no such
formula. What remains is this: with x_t = (1 - t) x0 + t e the difference is -t times that of the velocities
of two flows from one and the same source, and flows of equal velocities end in equal distributions. So the
step vanishes where the student's clips are distributed as real ones are, and, at all x and t, nowhere else.
"""

import jax
import jax.numpy as jnp

from stale_jax.clip import Clip

# Of mean |x - real|, by which the step is divided: less is the noise of the two models.
_LEAST = 0.02


def dmd_step(x: Clip, fake: Clip, real: Clip) -> Clip:
  """(fake - real) / mean |x - real|, the mean over each example's sense."""

  def one(x, fake, real):
    size = jnp.mean(jnp.abs(x - real), range(1, x.ndim), keepdims=True)
    return (fake - real) / jnp.maximum(size, _LEAST)

  return {name: one(x[name], fake[name], real[name]) for name in x}


def dmd_loss(x: Clip, step: Clip, weights) -> jax.Array:
  """1/2 mean |x - sg(x - step)|^2, weighted by sense: its gradient at x is `step` over the number of values.

  Args:
    x: the student's clip, through which the gradient goes.
    step: of `dmd_step`; no gradient goes through it.
    weights: sense -> weight; 1 where a sense is not named.
  """
  aims = {name: jax.lax.stop_gradient(x[name] - step[name]) for name in x}
  return sum(weights.get(name, 1.0) * jnp.mean(jnp.square(x[name] - aims[name])) / 2 for name in x)
