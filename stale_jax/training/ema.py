"""Moving averages of the parameters: an exponential one, and power-function averages."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number


def gamma_of(relative_std: float) -> float:
  """The exponent of the power-function average with this relative standard deviation.

  It is the root gamma >= 0 of 1 / relative_std^2 = (gamma + 2)^2 (gamma + 3) / (gamma + 1): Karras et al.,
  arXiv 2312.02696 (EDM2), appendix C.

  Args:
    relative_std: standard deviation of the average's profile over time, relative to the length of the run.
      12**-0.5, about 0.288, is the plain mean of the whole run.

  Raises:
    UserError: `relative_std` is not above 0 and at most 12**-0.5.
  """
  if not 0 < relative_std <= 12**-0.5:
    raise UserError(f"a relative standard deviation of {relative_std} is not possible; use (0, 0.288].")
  square = relative_std**-2
  return float(np.roots([1.0, 7.0, 16.0 - square, 12.0 - square]).real.max())


def relative_std_of(gamma: float) -> float:
  """The inverse of `gamma_of`."""
  return float(np.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ema:
  """An exponential moving average of the parameters, and power-function averages of them.

  The memory of the exponential average grows during the run, up to `decay`. From snapshots of the
  power-function averages (EDM2, arXiv 2312.02696, section 3), `checkpoints/posthoc_ema.py` computes averages
  with other relative standard deviations after the run.

  Attributes:
    decay: upper bound of the decay per step; early in the run the decay is (1 + step) / (10 + step).
    tracks: relative standard deviations of the power-function averages.
    snapshots: number of snapshots of each power-function average, evenly spaced, the last one at the end of
      the run; 0 disables these averages. 16 are enough to compute relative standard deviations of .03 to .2.
  """

  decay: float = number(0.999, least=0, most=1)
  tracks: tuple[float, ...] = number((0.05, 0.10), above=0, most=12**-0.5)
  snapshots: int = number(0, least=0, most=10_000)

  def __post_init__(self):
    check_fields(self, "ema")
    if not self.tracks or len(set(self.tracks)) < len(self.tracks):
      raise UserError(
        f"ema.tracks={self.tracks} must list at least one relative standard deviation, and each once."
      )

  def __call__(self, average, params, step):
    """The exponential average, updated with `params` after the (0-based) `step`."""
    decay = jnp.minimum(self.decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, average, params)

  @property
  def kept(self) -> tuple[float, ...]:
    """The tracks that the run computes: none without snapshots."""
    return self.tracks if self.snapshots else ()

  def start(self, params) -> tuple:
    """The initial power-function averages, one tree per track: zeros, which the first step overwrites."""
    return tuple(jax.tree.map(jnp.zeros_like, params) for _ in self.kept)

  def follow(self, tracks: tuple, params, step) -> tuple:
    """The power-function averages, updated with `params` after the (0-based) `step`.

    The decay is beta(t) = (1 - 1/t)^(gamma + 1), t = step + 1.
    """

    def average(std, track):
      # This is 1 - beta. Computed as a difference, it would lose as many digits as the step number has.
      share = -jnp.expm1((gamma_of(std) + 1) * jnp.log1p(-1.0 / (step + 1.0)))
      return jax.tree.map(lambda a, p: a + share * (p - a), track, params)

    return tuple(map(average, self.kept, tracks))

  def snapshot_steps(self, steps: int) -> frozenset[int]:
    """Numbers of updates after which a run of `steps` updates takes snapshots; all, in a very short run."""
    return frozenset(-(-steps * i // self.snapshots) for i in range(1, self.snapshots + 1))
