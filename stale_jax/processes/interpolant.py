"""What all processes that mix data with noise share: x_t = alpha x0 + sigma e, e from the prior.

The network predicts x0. Nothing here asks how e is distributed: corruption, loss and
the probability-flow ODE are the same for any prior (stochastic interpolants, Albergo et
al., arXiv 2303.08797).
"""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from stale_jax.processes.process import Corruption, per_frame

# Below this share of noise the velocity loss' 1 / t^2 is held constant.
SHARE_CLIP = 0.1
TINY = 1e-6


def anchored(
  output: Float[Array, "*shape"], anchor: Float[Array, "*shape"], share: Float[Array, "*shape"] | float
) -> Float[Array, "*shape"]:
  """The output that is in part the network's and in part says that the clip is `anchor`.

  What the network would have to call noise if the clip were A is the *virtual residual*
  e_A = (x_t - alpha A) / sigma (StreamDiffusion, arXiv 2312.12491; ART-V, arXiv 2311.18834). Mixing residuals
  is mixing outputs: of an x0-style output X the residual is e = (x_t - alpha X) / sigma, so that

    share e + (1 - share) e_A = (x_t - alpha (share X + (1 - share) A)) / sigma,

  the residual of share X + (1 - share) A, whatever alpha, sigma and the noise's law are; so for velocities,
  which are affine in X. A share from 0 to 1 keeps what the anchor knows; one above 1 guides away from it.
  At 0 and 1 it is the anchor and the output to the bit.
  """
  return share * output + (1 - share) * anchor


class Interpolant:
  """x_t = alpha x0 + sigma e; a member says what the prior is and how one step is undone.

  The path is the straight line of rectified flows, alpha = 1 - t and sigma = t (Liu et al.,
  arXiv 2209.03003), unless the member says otherwise. The loss is then the velocity's,
  held constant where its 1 / t^2 would explode.
  """

  has_flow: ClassVar[bool] = True
  mixes_noise: ClassVar[bool] = True
  draws_noise: ClassVar[bool] = False
  is_discrete: ClassVar[bool] = False

  def clock(self, t):
    """What the ODE's steps are measured in: time itself, in which the path is straight."""
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
    """Error of x0 over sigma / (alpha + sigma), clipped below .1: the flow's error of the velocity."""
    alpha, sigma = self.coefficients(per_frame(t, output))
    return (output - corruption.target) / jnp.maximum(sigma / (alpha + sigma), SHARE_CLIP)

  def loss(self, output, corruption, t):
    """The residual squared."""
    return jnp.square(self.residual(output, corruption, t))

  def denoised(self, output, x_t, t):
    """E[x0 | x_t], clipped to the box."""
    return jnp.clip(output, -1.0, 1.0)

  def velocity(self, output, x_t, t):
    """dx/dclock of the probability-flow ODE; 0 where there is no noise."""
    x0, t = self.denoised(output, x_t, t), per_frame(t, x_t)
    (alpha, sigma), (d_alpha, d_sigma) = self.coefficients(t), self.rates(t)
    noise = (x_t - alpha * x0) / jnp.maximum(sigma, TINY)
    return jnp.where(sigma > 0, d_alpha * x0 + d_sigma * noise, 0.0)
