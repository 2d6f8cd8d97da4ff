"""Discrete diffusion from the uniform distribution over a vocabulary.

A token is the last axis of its array: one-hot in {-1, 1}, V values. At time t it is kept
with probability alpha = 1 - t and drawn anew, uniformly, otherwise (Austin et al., arXiv
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


def _one_hot(index, size: int):
  return 2 * jax.nn.one_hot(index, size) - 1


def _kernel(alpha, same):
  """k_alpha(x, z) for every x, where `same` [*batch, V] is one-hot at z (or with x and z exchanged)."""
  return alpha * same + (1 - alpha) / same.shape[-1]


def _mix(posterior, z, alpha_t, alpha_s):
  """sum_x D_x k_s(x, y) / k_t(x, z) for every y."""
  weight = posterior / jnp.maximum(_kernel(alpha_t, z), _TINY)
  return alpha_s * weight + (1 - alpha_s) / z.shape[-1] * jnp.sum(weight, -1, keepdims=True)


def reverse(
  posterior: Float[Array, "*batch V"],
  z_t: Float[Array, "*batch V"],
  alpha_t: float | Float[Array, "*#batch 1"],
  alpha_s: float | Float[Array, "*#batch 1"],
) -> Float[Array, "*batch V"]:
  """p(z_s | z_t) for s < t: q(z_s | z_t, x) averaged over x ~ `posterior`.

  The average is of the whole step, k_{t|s}(z_s, z_t) sum_x D_x k_s(x, z_s) / k_t(x, z_t).
  To put the mean D in the place of x instead, as masked diffusion may, is wrong here, for
  the denominator depends on x.

  Args:
    posterior: D, the distribution of x0 given the whole of z_t.
    z_t: one-hot in {0, 1}.
    alpha_t, alpha_s: chance of a token to have been kept until then.
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
  """A token's share of the bound on -log p(x0) in nats, at time t < 1.

  Its mean over t uniform in [0, 1] and z_t ~ q(z_t | x0), summed over tokens, is at least
  -log p(x0), and on average the data's entropy for the exact posterior (Lou et al., SEDD, arXiv
  2310.16834): (1 / alpha V) sum over y != z_t of r_y - r*_y + r*_y log(r*_y / r_y), where
  r_y is the ratio of the probabilities that the token is y and that it is z_t, r*_y that given x0.

  Args:
    posterior: distribution of x0 given the whole of z_t.
    z_t, x0: one-hot in {0, 1}.
    t: time.
  """
  alpha = 1 - t
  ratio, true = (_mix(p, z_t, alpha, alpha) for p in (posterior, x0))
  # r - r* + r* log(r* / r), which does not cancel where the two are near one another.
  excess = (ratio - true) / true
  terms = true * (excess - jnp.log1p(excess))
  return jnp.sum(terms * (1 - z_t), -1) / (alpha[..., 0] * z_t.shape[-1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformTokens:
  """Tokens that are replaced by uniform ones; the network's outputs are logits of x0.

  Its stationary law is the uniform distribution over sentences: the discrete sibling of `Reflected`.
  There is no ODE: it is sampled by solver='ancestral'.
  """

  has_flow: ClassVar[bool] = False
  mixes_noise: ClassVar[bool] = False  # Tokens are replaced.
  draws_noise: ClassVar[bool] = True
  is_discrete: ClassVar[bool] = True

  def prior(self, key, shape):
    return _one_hot(jax.random.randint(key, shape[:-1], 0, shape[-1]), shape[-1])

  def corrupt(self, key, x0, t):
    """Draws z_t given x0 [batch, frames, *shape, V] at times t [batch, frames]; the target is x0."""
    key_which, key_what = jax.random.split(key)
    drawn = jax.random.uniform(key_which, x0.shape[:-1]) < per_frame(t, x0[..., 0])
    return Corruption(jnp.where(drawn[..., None], self.prior(key_what, x0.shape), x0), x0)

  def loss(self, output, corruption, t):
    """Cross-entropy in nats a token over all positions, as the mean over the last axis."""
    del t
    clean = (corruption.target + 1) / 2
    return -clean * jax.nn.log_softmax(output) * output.shape[-1]

  def denoised(self, output, x_t, t):
    """The posterior's mean, in [-1, 1]."""
    return 2 * jax.nn.softmax(output) - 1

  def clock(self, t):
    """Time itself."""
    return t

  def project(self, x):
    return x

  def step(self, noise, output, x_t, t, s):
    """Draws z_s given z_t, s < t, by the Gumbel-max trick; `noise` [..., V] is standard normal."""
    alpha_t, alpha_s = 1 - per_frame(t, x_t), 1 - per_frame(s, x_t)
    p = reverse(jax.nn.softmax(output), (x_t + 1) / 2, alpha_t, alpha_s)
    gumbel = -jnp.log(-log_ndtr(noise))
    return _one_hot(jnp.argmax(jnp.log(p) + gumbel, -1), x_t.shape[-1])
