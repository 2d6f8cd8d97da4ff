"""Processes whose mean depends on the caption: ContextDiff (Yang et al., arXiv 2402.16627).

Usually the caption is known to the network alone, and data are noised in the same way whatever they show. In
ContextDiff the noised clip is shifted by a bias that depends on the clip and its caption c:

  x_t = alpha x0 + b_t + sigma e,   b_t = k_t r(x0, c),   k_t = alpha (1 - alpha),

where r is the *relation*, learned together with the network (`models.relation`). k is 0 at both ends, so data
and prior stay the same, and the path between them depends on what is to be said about the clip. For the
variance-preserving process alpha (1 - alpha) is the paper's choice; for rectified flows it is t (1 - t).

y_t = x_t - b_t follows the process without bias. So every step of that process gives one of the biased
process: subtract b_t, take the step, add b_s. With DDIM's step and x0_hat this is

  x_s = alpha_s x0_hat + b_s + (sigma_s / sigma_t) (x_t - alpha_t x0_hat - b_t),

and the same holds for a stochastic `transition` and for the `bridge` q(x_s | x_t, x0): composed with
q(x_t | x0), it gives q(x_s | x0), as without the bias. When sampling, x0 is unknown, and r is evaluated at
x0_hat *only*. With the true x0, r would tell the network what the noise hides.

*Data in the box.* Let the relation point into the box: r = g - x0 with g in [-1, 1]. For rectified flows

  x_t = (1 - t)^2 x0 + t (1 - t) g + t e

is a convex combination of three points of the box, so x_t stays in it. Since b_s - (s / t) b_t =
(1 - s / t) s t r, the step above is

  x_s = (s / t) x_t + (1 - s / t) ((1 - s t) x0_hat + s t g),

again a convex combination: samples stay in the box for any number of steps, as in `UniformFlow`. This needs r
to be the same in b_s and b_t, so the relation has no time as an input, as in the published code for videos;
in the paper it has.

`Reflected` adds no noise to data, and its network predicts no x0 at which r could be evaluated, so it is
refused.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from stale_jax.processes.process import Corruption, MixingProcess, Sample, Times, per_frame


def into_the_box(h: Float[Array, "*shape"], x0: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """The relation r = h - |h| x0, for h in [-1, 1].

  It leads from x0 to the wall sign(h), a share |h| of the way: it is 0 at h = 0, and x0 + r is in [-1, 1].
  """
  return h - jnp.abs(h) * x0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Biased:
  """A process with the bias of one array, for a known relation; see the docstring of this module.

  Attributes:
    process: the process without bias, with x_t = alpha x0 + sigma e.
    relation: r, [batch, frames, *shape].
  """

  process: MixingProcess
  relation: Sample

  def bias(self, t: Times) -> Sample:
    """b_t = alpha (1 - alpha) r at times `t` [batch, frames]."""
    alpha, _ = self.process.coefficients(per_frame(t, self.relation))
    return alpha * (1 - alpha) * self.relation

  def corrupt(self, key: PRNGKeyArray, x0: Sample, t: Times) -> Corruption:
    """Draws x_t given x0; the target is that of the process."""
    x_t, target = self.process.corrupt(key, x0, t)
    return Corruption(x_t + self.bias(t), target)

  def transition(self, output: Sample, x_t: Sample, t: Times, s: Times, eta: float) -> tuple[Sample, Sample]:
    """Mean and scale of a step; see `FlowProcess.transition`."""
    mean, scale = self.process.transition(output, x_t - self.bias(t), t, s, eta)
    return mean + self.bias(s), scale

  def bridge(self, key: PRNGKeyArray, x0: Sample, x_t: Sample, t: Times, s: Times, eta: float) -> Sample:
    """Draws x_s given x_t and x0, whose relation is `relation`; see `FlowProcess.bridge`."""
    return self.process.bridge(key, x0, x_t - self.bias(t), t, s, eta) + self.bias(s)
