"""The optimized scale of CFG-Zero*."""

import dataclasses

from stale_jax.processes import Process
from stale_jax.processes.process import per_frame
from stale_jax.sampling.guidance.rule import Plain, divided, total


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizedScale:
  """CFG-Zero* (Fan et al., arXiv 2503.18886): guidance of velocities, the unconditional one scaled to fit.

    v = s v_u + scale (v_c - s v_u),   s = <v_c, v_u> / |v_u|^2.

  The velocity is that of the rectified flow on the path of the process, v = (y - x0) / tau, where
  y = x / (alpha + sigma) and tau = sigma / (alpha + sigma). s does not depend on tau, and the guided velocity
  has the output y - tau v, so tau is not needed. The paper's other part, zero-init, is `Sampling.zero_steps`.

  Attributes:
    process: a process with x_t = alpha x0 + sigma e.
  """

  process: Process

  def fits(self, process: Process) -> bool:
    """See `Rule`."""
    return process.mixes_noise

  def __call__(self, conditional, unconditional, scale, x, t):
    """See `Rule`."""
    alpha, sigma = self.process.coefficients(per_frame(t, x))
    y = x / (alpha + sigma)
    v_c, v_u = y - conditional, y - unconditional
    v_u = divided(total(v_c * v_u, t), total(v_u * v_u, t)) * v_u
    return y - Plain()(v_c, v_u, scale, x, t)
