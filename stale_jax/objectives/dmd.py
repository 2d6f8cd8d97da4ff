"""Distribution matching distillation (DMD): moves a student's clips to where real clips are more likely.

A clip x of the student is noised, and two models denoise it: the teacher, which was trained on real clips,
and the critic, which is trained on the student's clips. The critic's *fake* estimate minus the teacher's
*real* estimate is the direction that x should move away from (Yin et al., arXiv 2311.18828, eq. 7, with the
weight of eq. 8).

With Gaussian noise, by Tweedie's formula, this difference is proportional to the difference of the score
functions, and the expected step is the gradient of KL(student | real) of the noised clips. There is no such
formula for a uniform prior, but a weaker statement holds. With x_t = (1 - t) x0 + t e, the difference is -t
times the difference of the velocities of two flows from the same prior, and flows with equal velocities end
in equal distributions. So the step vanishes for all x and t if and only if the student's clips have the
distribution of real clips.
"""

import jax
import jax.numpy as jnp

from stale_jax.clip import Clip

# Lower bound of mean |x - real|, which divides the step. Smaller differences are errors of the two models.
_LEAST = 0.02


def dmd_step(x: Clip, fake: Clip, real: Clip) -> Clip:
  """(fake - real) / mean |x - real|, where the mean is over the values of one sense of one example.

  Args:
    x: the student's clips.
    fake: the critic's denoised estimates.
    real: the teacher's denoised estimates.
  """

  def one(x, fake, real):
    size = jnp.mean(jnp.abs(x - real), range(1, x.ndim), keepdims=True)
    return (fake - real) / jnp.maximum(size, _LEAST)

  return {name: one(x[name], fake[name], real[name]) for name in x}


def dmd_loss(x: Clip, step: Clip, weights) -> jax.Array:
  """1/2 mean |x - stop_gradient(x - step)|^2, weighted by sense.

  Its gradient with respect to x is weight * `step` / (number of values of the sense).

  Args:
    x: the student's clips; the gradient flows through them.
    step: the result of `dmd_step`; no gradient flows through it.
    weights: sense -> weight; 1 for senses without an entry.
  """
  target = {name: jax.lax.stop_gradient(x[name] - step[name]) for name in x}
  return sum(weights.get(name, 1.0) * jnp.mean(jnp.square(x[name] - target[name])) / 2 for name in x)
