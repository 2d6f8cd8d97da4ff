"""Discrete diffusion from the uniform distribution over a vocabulary.

A token is a one-hot vector with values -1 and 1 in the last axis, of size V. At time t it is unchanged with
probability alpha = 1 - t; otherwise it is redrawn from the uniform distribution (Austin et al., arXiv
2107.03006): q(z_t | x) = k_alpha(x, z_t), where k_alpha(x, z) = alpha 1[x = z] + (1 - alpha) / V.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

from stale_jax.processes.process import Corruption, per_frame

_TINY = 1e-12
_CERTAIN = 50.0  # Logit of a known token, with 1 and -1 for the right and the wrong ones.


def _one_hot(index, size: int):
  return 2 * jax.nn.one_hot(index, size) - 1


def _kernel(alpha, same):
  """k_alpha(x, z) for every x, where `same` [*batch, V] is one-hot at z, or with x and z exchanged."""
  return alpha * same + (1 - alpha) / same.shape[-1]


def _mix(posterior, z, alpha_t, alpha_s):
  """sum_x D_x k_s(x, y) / k_t(x, z) for every y, where D is `posterior`, [*batch, V]."""
  weight = posterior / jnp.maximum(_kernel(alpha_t, z), _TINY)
  return alpha_s * weight + (1 - alpha_s) / z.shape[-1] * jnp.sum(weight, -1, keepdims=True)


def reverse(
  posterior: Float[Array, "*batch V"],
  z_t: Float[Array, "*batch V"],
  alpha_t: float | Float[Array, "*#batch 1"],
  alpha_s: float | Float[Array, "*#batch 1"],
) -> Float[Array, "*batch V"]:
  """p(z_s | z_t) for s < t: q(z_s | z_t, x) averaged over x ~ `posterior`.

  The whole transition is averaged: k_{t|s}(z_s, z_t) sum_x D_x k_s(x, z_s) / k_t(x, z_t). Substituting the
  mean D for x, as masked diffusion may do, would be wrong here, because the denominator depends on x.

  Args:
    posterior: D, the distribution of x0 given all of z_t.
    z_t: one-hot in {0, 1}.
    alpha_t, alpha_s: probability that a token is unchanged at times t and s.
  """
  forward = _kernel(alpha_t / jnp.maximum(alpha_s, _TINY), z_t)
  p = forward * _mix(posterior, z_t, alpha_t, alpha_s)
  return p / jnp.sum(p, -1, keepdims=True)


def nelbo(
  posterior: Float[Array, "*#batch V"],
  z_t: Float[Array, "*#batch V"],
  x0: Float[Array, "*#batch V"],
  t: Float[Array, "*#batch 1"],
) -> Float[Array, "*#batch"]:
  """Contribution of each token to the upper bound on -log p(x0), in nats, at time t < 1.

  Averaged over t uniform in [0, 1] and z_t ~ q(z_t | x0) and summed over tokens, it is at least -log p(x0).
  With the exact posterior, its mean over the data is their entropy (Lou et al., SEDD, arXiv 2310.16834). It
  is (1 / alpha V) sum over y != z_t of r_y - r*_y + r*_y log(r*_y / r_y). Here r_y is the ratio of the
  probability that the token is y to the probability that it is z_t, and r*_y is the same ratio given x0.

  Args:
    posterior: distribution of x0 given all of z_t.
    z_t, x0: one-hot in {0, 1}.
    t: time.
  """
  alpha = 1 - t
  ratio, true = (_mix(p, z_t, alpha, alpha) for p in (posterior, x0))
  # r - r* + r* log(r* / r), in a form that does not cancel where r and r* are close.
  excess = (ratio - true) / true
  terms = true * (excess - jnp.log1p(excess))
  return jnp.sum(terms * (1 - z_t), -1) / (alpha[..., 0] * z_t.shape[-1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformTokens:
  """Tokens that are replaced by uniformly drawn tokens; the network's outputs are logits of x0.

  The stationary distribution is uniform over all sequences, as that of `Reflected` is over the box. There is
  no ODE; sample with solver='ancestral'.
  """

  has_flow: ClassVar[bool] = False
  mixes_noise: ClassVar[bool] = False  # Tokens are replaced.
  draws_noise: ClassVar[bool] = True
  is_discrete: ClassVar[bool] = True
  has_teleport: ClassVar[bool] = False

  def prior(self, key, shape):
    return _one_hot(jax.random.randint(key, shape[:-1], 0, shape[-1]), shape[-1])

  def corrupt(self, key, x0, t):
    """Draws z_t given x0 [batch, frames, *shape, V] at times t [batch, frames]; the target is x0."""
    key_which, key_what = jax.random.split(key)
    drawn = jax.random.uniform(key_which, x0.shape[:-1]) < per_frame(t, x0[..., 0])
    return Corruption(jnp.where(drawn[..., None], self.prior(key_what, x0.shape), x0), x0)

  def loss(self, output, corruption, t):
    """Cross-entropy of every token, in nats: the mean over the last axis of the result is its value."""
    del t
    clean = (corruption.target + 1) / 2
    return -clean * jax.nn.log_softmax(output) * output.shape[-1]

  def denoised(self, output, x_t, t):
    """The mean of x0 under the network's posterior, in [-1, 1]."""
    return 2 * jax.nn.softmax(output) - 1

  def output_for(self, x0, x_t, t):
    """Logits that leave no other token than x0."""
    return _CERTAIN * x0

  def clock(self, t):
    """Time itself."""
    return t

  def project(self, x):
    return x

  def step(self, noise, output, x_t, t, s):
    """Draws z_s given z_t for s < t by the Gumbel-max trick; `noise` [..., V] is standard normal."""
    alpha_t, alpha_s = 1 - per_frame(t, x_t), 1 - per_frame(s, x_t)
    p = reverse(jax.nn.softmax(output), (x_t + 1) / 2, alpha_t, alpha_s)
    gumbel = -jnp.log(-log_ndtr(noise))
    return _one_hot(jnp.argmax(jnp.log(p) + gumbel, -1), x_t.shape[-1])
