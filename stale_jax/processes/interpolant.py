"""Base class of the processes that mix data with noise: x_t = alpha x0 + sigma e, with e from the prior.

The network predicts x0. Corruption, loss and the probability-flow ODE are the same for any distribution of e
(stochastic interpolants, Albergo et al., arXiv 2303.08797).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.processes.process import Corruption, per_frame

# Below this share of noise, the factor 1 / t^2 of the velocity loss is held constant.
SHARE_CLIP = 0.1
TINY = 1e-6


def anchored(
  output: Float[Array, "*shape"],
  anchor: Float[Array, "*shape"],
  share: Float[Array, "*shape"] | Float[Array, ""] | float,
) -> Float[Array, "*shape"]:
  """Interpolates between the network's output and `anchor`, a clip that the result should resemble.

  If the clip were A, the noise in x_t would be the *virtual residual* e_A = (x_t - alpha A) / sigma
  (StreamDiffusion, arXiv 2312.12491; ART-V, arXiv 2311.18834). The residual of an x0-style output X is
  e = (x_t - alpha X) / sigma. Mixing residuals is therefore the same as mixing outputs:

    share e + (1 - share) e_A = (x_t - alpha (share X + (1 - share) A)) / sigma,

  for any alpha, sigma and noise distribution. The same holds for velocities, which are affine in X. A share
  between 0 and 1 moves the output towards the anchor; a share above 1 guides it away. At 0 and 1 the result
  is the anchor and the output, bit for bit.

  Args:
    output: the network's output X.
    anchor: the clip A, of the same shape.
    share: the weight of `output`, broadcast against it.
  """
  return share * output + (1 - share) * anchor


class Interpolant:
  """x_t = alpha x0 + sigma e. Subclasses define the prior and the reverse step.

  The default path is the straight line of rectified flows, alpha = 1 - t and sigma = t (Liu et al.,
  arXiv 2209.03003). The loss is then that of the velocity, with its factor 1 / t^2 held constant at small t.
  """

  has_flow: ClassVar[bool] = True
  mixes_noise: ClassVar[bool] = True
  draws_noise: ClassVar[bool] = False
  is_discrete: ClassVar[bool] = False
  has_teleport: ClassVar[bool] = False

  def clock(self, t):
    """The independent variable of the ODE, an increasing function of t; by default t itself."""
    return t

  def coefficients(self, t):
    """(alpha, sigma) at times `t` of any shape; (1, 0) at t = 0."""
    return 1 - t, t

  def rates(self, t):
    """(d alpha / d clock, d sigma / d clock)."""
    return -1.0, 1.0

  def corrupt(self, key, x0, t):
    """Draws x_t given x0 [batch, frames, *shape] at times t [batch, frames]; the target is x0."""
    alpha, sigma = self.coefficients(per_frame(t, x0))
    return Corruption(alpha * x0 + sigma * self.prior(key, x0.shape), x0)

  def residual(self, output, corruption, t):
    """Error of x0 divided by max(sigma / (alpha + sigma), .1); for flows at t > .1, error of the velocity."""
    alpha, sigma = self.coefficients(per_frame(t, output))
    return (output - corruption.target) / jnp.maximum(sigma / (alpha + sigma), SHARE_CLIP)

  def loss(self, output, corruption, t):
    """The square of the residual."""
    return jnp.square(self.residual(output, corruption, t))

  def denoised(self, output, x_t, t):
    """The estimate of E[x0 | x_t], which is the output, clipped to the box [-1, 1]."""
    return jnp.clip(output, -1.0, 1.0)

  def velocity(self, output, x_t, t):
    """dx/dclock of the probability-flow ODE; 0 where there is no noise."""
    x0, t = self.denoised(output, x_t, t), per_frame(t, x_t)
    (alpha, sigma), (d_alpha, d_sigma) = self.coefficients(t), self.rates(t)
    noise = (x_t - alpha * x0) / jnp.maximum(sigma, TINY)
    return jnp.where(sigma > 0, d_alpha * x0 + d_sigma * noise, 0.0)

  def output_for(self, x0, x_t, t):
    """The output of a network that knows x0, which is x0."""
    return x0

  def prior_within(self, low, high):
    """(P(low < e < high), E[e | low < e < high]) for e from the prior; 0 and 0 outside of its support."""
    raise NotImplementedError

  def interval_evidence(self, x_t, low, high, t):
    """What x_t says of the statement that x0 lies in [low, high]; see `MixingProcess`.

    If x0 = y, then e = (x_t - alpha y) / sigma. As y goes from low to high, e falls from
    b = (x_t - alpha low) / sigma to a = (x_t - alpha high) / sigma. With the density f of the prior and x0
    uniform on [low, high],

      p(x_t) = integral of f((x_t - alpha y) / sigma) / sigma dy / (high - low)
             = P(a < e < b) / (alpha (high - low)),
      E[x0 | x_t] = (x_t - sigma E[e | a < e < b]) / alpha.

    For uniform noise on [-1, 1], P(a < e < b) is half the length of the part of [a, b] within the box: values
    y outside of [(x_t - sigma) / alpha, (x_t + sigma) / alpha] are excluded with certainty, and all others
    are equally likely. The evidence is an interval, and the mean the middle of its part in [low, high].
    """
    alpha, sigma = (per_frame(c, x_t) for c in self.coefficients(t))
    safe_alpha, safe_sigma = jnp.maximum(alpha, TINY), jnp.maximum(sigma, TINY)
    a, b = (x_t - alpha * high) / safe_sigma, (x_t - alpha * low) / safe_sigma
    mass, mean = self.prior_within(a, b)
    density = mass / (safe_alpha * (high - low))
    nothing = alpha <= TINY  # At the prior, x_t says nothing of x0.
    at_prior = self.log_prior(x_t / safe_sigma) - jnp.log(safe_sigma)
    log_density = jnp.log(jnp.maximum(density, jnp.finfo(x_t.dtype).tiny))
    log_density = jnp.where(nothing, at_prior, log_density)
    middle = jnp.where(nothing | (mass <= 0), (low + high) / 2, (x_t - sigma * mean) / safe_alpha)
    return log_density, jnp.clip(middle, low, high)

  def refresh(self, noise, e, share):
    """Replaces a share of the prior noise `e` with the help of `noise` from N(0, 1).

    w = to_normal(e) is N(0, 1), so sqrt(1 - share^2) w + share z is too, and `from_normal` of it is a draw
    from the prior. Its correlation with e is sqrt(1 - share^2) for a Gaussian prior. For the uniform one it
    is (6 / pi) asin(sqrt(1 - share^2) / 2), which differs by less than .02; no sum of e and independent noise
    would be uniform.
    """
    return self.from_normal(jnp.sqrt(1 - jnp.square(share)) * self.to_normal(e) + share * noise)

  def _refreshed(self, t, s, eta):
    """(alpha_s, sigma_s, the share of fresh noise in x_s) of a step from t to s; see `transition`."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = self.coefficients(t), self.coefficients(s)
    kept = alpha_t * sigma_s / jnp.maximum(alpha_s * sigma_t, TINY)
    return alpha_s, sigma_s, eta * jnp.sqrt(jnp.clip(1 - jnp.square(kept), 0.0, 1.0))

  def transition(self, output, x_t, t, s, eta):
    """Mean and scale of DDIM's step with `eta` (Song et al., arXiv 2010.02502, eq. 12 and 16).

    With e_hat = (x_t - alpha_t x0_hat) / sigma_t and r^2 = eta^2 (1 - (alpha_t sigma_s / alpha_s sigma_t)^2),
    the mean is alpha_s x0_hat + sigma_s sqrt(1 - r^2) e_hat and the scale sigma_s r. For a Gaussian prior and
    eta = 1 this is the ancestral step. For the uniform prior, the noise (x_s - mean) / scale of a true path
    is not independent of e_hat, but nearly uncorrelated with it, and its variance is that of the prior to a
    tenth.
    """
    x0, t, s = self.denoised(output, x_t, t), per_frame(t, x_t), per_frame(s, x_t)
    alpha_t, sigma_t = self.coefficients(t)
    alpha_s, sigma_s, share = self._refreshed(t, s, eta)
    e = (x_t - alpha_t * x0) / jnp.maximum(sigma_t, TINY)
    mean = alpha_s * x0 + sigma_s * jnp.sqrt(1 - jnp.square(share)) * e
    return mean, jnp.broadcast_to(sigma_s * share, mean.shape)

  def bridge(self, key, x0, x_t, t, s, eta):
    """Draws x_s given x_t and x0: the noise in x_t is known, and part of it is replaced (`refresh`)."""
    t, s = per_frame(t, x_t), per_frame(s, x_t)
    alpha_t, sigma_t = self.coefficients(t)
    alpha_s, sigma_s, share = self._refreshed(t, s, eta)
    e = (x_t - alpha_t * x0) / jnp.maximum(sigma_t, TINY)
    return alpha_s * x0 + sigma_s * self.refresh(jax.random.normal(key, e.shape, e.dtype), e, share)
