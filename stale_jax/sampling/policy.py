"""Policy optimisation of a `NoisePrior`: the steps of PPO for a decision that is a draw of initial noise.

FIND (Chen et al., arXiv 2407.19453) reads sampling as a Markov decision process of one step: the action is
the initial noise, and the reward is that of the clip which the frozen sampler makes of it. PPO (Schulman et
al., arXiv 1707.06347, eq. 7) then maximises

  E min(ratio A, clip(ratio, 1 - clip, 1 + clip) A),   ratio = p(c) / p_old(c),

over draws of older priors, where the advantage A is the reward minus its expectation. All densities are those
of the coordinates c (`noise_prior`): the rest of the noise and the Jacobian of the copula cancel.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.clip import Clip
from stale_jax.sampling.noise_prior import NoisePrior


def log_density(prior: NoisePrior, c: Clip) -> Float[Array, "batch"]:
  """The log-density of coordinates, relative to the prior of the process: log N(c; m, s^2) / N(c; 0, 1).

  Args:
    prior: the distribution.
    c: coordinates, sense -> [batch, times, *sides, channels].
  """

  def one(name):
    standard = (c[name] - prior.mean[name]) * jnp.exp(-prior.log_std[name])
    each = (jnp.square(c[name]) - jnp.square(standard)) / 2 - prior.log_std[name]
    return jnp.sum(jnp.reshape(each, (len(each), -1)), 1)

  return sum(one(name) for name in prior.mean)


def divergence(prior: NoisePrior, other: NoisePrior) -> Float[Array, ""]:
  """KL(prior || other) in nats, for the noise of one clip."""

  def one(m, log_s, other_m, other_log_s):
    gap = log_s - other_log_s
    square = jnp.square(m - other_m) * jnp.exp(-2 * other_log_s)
    return jnp.sum((jnp.exp(2 * gap) + square - 1) / 2 - gap)

  return sum(
    one(prior.mean[name], prior.log_std[name], other.mean[name], other.log_std[name]) for name in prior.mean
  )


def surrogate(
  prior: NoisePrior,
  c: Clip,
  log_old: Float[Array, "batch"],
  advantage: Float[Array, "batch"],
  clip: float,
) -> Float[Array, ""]:
  """The clipped objective of PPO, to be maximised.

  Args:
    prior: the distribution that is tuned.
    c: coordinates of draws of older distributions, sense -> [batch, *grid].
    log_old: `log_density` of each draw under the distribution that it was drawn from.
    advantage: reward of each draw minus its expectation.
    clip: how far the ratio of the densities may be from 1 before its gradient is cut.
  """
  ratio = jnp.exp(log_density(prior, c) - log_old)
  clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
  return jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))


def ascended(
  prior: NoisePrior,
  c: Clip,
  log_old: Float[Array, "batch"],
  advantage: Float[Array, "batch"],
  clip: float,
  rate: float,
) -> NoisePrior:
  """One step of natural gradient ascent on `surrogate`.

  The Fisher information of m is 1 / s^2, and that of log s is 2, so that the natural gradient multiplies the
  gradient by s^2 and 1 / 2. Unlike Adam, it moves coordinates in proportion to their gradient: those about
  which the rewards say nothing stay where they are.
  """
  gradient = jax.grad(surrogate)(prior, c, log_old, advantage, clip)
  mean = {
    name: m + rate * jnp.exp(2 * prior.log_std[name]) * gradient.mean[name] for name, m in prior.mean.items()
  }
  log_std = {name: x + rate / 2 * gradient.log_std[name] for name, x in prior.log_std.items()}
  return prior.replace(mean=mean, log_std=log_std)
