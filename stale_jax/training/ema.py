"""Moving averages of parameters."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ema:
  """Exponential moving average whose memory grows with the run, up to `decay`.

  Attributes:
    decay: at most this much of the old average is kept a step; (1 + step) / (10 + step) early on.
  """

  decay: float = 0.999

  def __call__(self, average, params, step):
    """The average after `params` of (0-based) `step`."""
    decay = jnp.minimum(self.decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, average, params)
