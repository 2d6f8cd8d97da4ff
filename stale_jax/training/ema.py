"""Moving averages of parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number


def gamma_of(relative_std: float) -> float:
  """The exponent of the power-function average whose profile is this wide, in parts of the run.

  The root gamma >= 0 of 1 / relative_std^2 = (gamma + 2)^2 (gamma + 3) / (gamma + 1): Karras et al.,
  arXiv 2312.02696 (EDM2), appendix C.

  Raises:
    UserError: there is none; 0.288 is the plain mean of the whole run.
  """
  if not 0 < relative_std <= 12**-0.5:
    raise UserError(
      f"a relative standard deviation of {relative_std}: from just above 0 to 0.288 are possible."
    )
  square = relative_std**-2
  return float(np.roots([1.0, 7.0, 16.0 - square, 12.0 - square]).real.max())


def relative_std_of(gamma: float) -> float:
  """The inverse of `gamma_of`."""
  return float(np.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ema:
  """Exponential moving average whose memory grows with the run, up to `decay`; and power-function averages.

  The power-function averages (EDM2, arXiv 2312.02696, section 3) are what `checkpoints/posthoc_ema.py`
  makes an average of any other length of, after the run.

  Attributes:
    decay: at most this much of the old average is kept a step; (1 + step) / (10 + step) early on.
    tracks: relative standard deviations of the power-function averages that snapshots are taken of.
    snapshots: of each track, evenly spaced over the run, the last at its end; 0 is none, and no track
      is kept. 16 are enough for lengths from .03 to .2.
  """

  decay: float = number(0.999, least=0, most=1)
  tracks: tuple[float, ...] = number((0.05, 0.10), above=0, most=12**-0.5)
  snapshots: int = number(0, least=0)

  def __post_init__(self):
    check_fields(self, "ema")
    if not self.tracks or len(set(self.tracks)) < len(self.tracks):
      raise UserError(f"ema.tracks={self.tracks}: at least one is needed, and each once.")

  def __call__(self, average, params, step):
    """The average after `params` of (0-based) `step`."""
    decay = jnp.minimum(self.decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, average, params)

  @property
  def kept(self) -> tuple[float, ...]:
    """The tracks, if they are kept at all."""
    return self.tracks if self.snapshots else ()

  def start(self, params) -> tuple:
    """The tracks before the first step, which replaces them."""
    return tuple(jax.tree.map(jnp.zeros_like, params) for _ in self.kept)

  def follow(self, tracks: tuple, params, step) -> tuple:
    """The tracks after `params` of (0-based) `step`: beta(t) = (1 - 1/t)^(gamma + 1), t = step + 1."""

    def average(std, track):
      # 1 - beta; as that difference it would lose a digit for each of the step's.
      share = -jnp.expm1((gamma_of(std) + 1) * jnp.log1p(-1.0 / (step + 1.0)))
      return jax.tree.map(lambda a, p: a + share * (p - a), track, params)

    return tuple(map(average, self.kept, tracks))

  def snapshot_steps(self, steps: int) -> frozenset[int]:
    """Of a run of `steps`: after which to keep the tracks; after each, if they are too few."""
    return frozenset(-(-steps * i // self.snapshots) for i in range(1, self.snapshots + 1))
