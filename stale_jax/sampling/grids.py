"""Time grids of samplers: how the steps are spaced between time 1 (noise) and time 0 (data).

The grid "linear" is `processes.grid`: even steps, moved towards the noise by a shift. The other grids replace
its inner times and keep its first time, its last time above 0, and 0. They equal diffusers' on the straight
path (`FlowMatchEulerDiscreteScheduler`), whose noise level is the time itself. For processes with another
path they are the same functions of time.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import betaincinv

from stale_jax.clip import Sense

Times = Float[np.ndarray, "grid"]


def karras(times: Times, rho: float = 7.0) -> Times:
  """Even steps in time^(1/rho), smallest near the data (EDM, Karras et al., arXiv 2206.00364, eq. 5)."""
  return _between(times, lambda u, first, last: (first ** (1 / rho) * (1 - u) + last ** (1 / rho) * u) ** rho)


def exponential(times: Times) -> Times:
  """Even steps in the logarithm of time, smallest near the data."""
  return _between(times, lambda u, first, last: first ** (1 - u) * last**u)


def beta(times: Times, shape: float = 0.6) -> Times:
  """Quantiles of the distribution Beta(shape, shape): small steps near both ends (arXiv 2407.12173)."""
  return _between(times, lambda u, first, last: last + (first - last) * betaincinv(shape, shape, 1 - u))


# Name -> function from the linear grid to the grid.
GRIDS: dict[str, Callable[[Times], Times]] = {
  "linear": lambda times: times,
  "karras": karras,
  "exponential": exponential,
  "beta": beta,
}


def _between(times: Times, spacing: Callable[[Times, float, float], Times]) -> Times:
  """Replaces all times but the last, which is 0, by spacing(u, first, last), u evenly from 0 to 1."""
  steps = np.asarray(times, np.float64)[:-1]
  return np.append(spacing(np.linspace(0, 1, len(steps)), steps[0], steps[-1]), 0.0)


def constant_shift(shift: float, tokens: int, base: int) -> float:
  """The shift itself."""
  return shift


def sd3_shift(shift: float, tokens: int, base: int) -> float:
  """The shift at `tokens` if it is `shift` at `base` tokens: shift sqrt(tokens / base).

  A clip with more tokens needs more noise before it is destroyed (SD3, arXiv 2403.03206, sec. 5.3.2, eq. 23).
  """
  return shift * math.sqrt(tokens / base)


def flux_shift(shift: float, tokens: int, base: int) -> float:
  """Flux's shift exp(mu), with mu linear in the tokens: .5 at 256 and 1.15 at 4096; the rest is not used."""
  return math.exp(0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256))


# Name -> (shift, number of tokens, tokens at which the shift is `shift`) -> factor of `processes.shift`.
SHIFTS: dict[str, Callable[[float, int, int], float]] = {
  "constant": constant_shift,
  "sd3": sd3_shift,
  "flux": flux_shift,
}


def tokens_of(senses: Sequence[Sense], frames: int) -> int:
  """The number of tokens of all senses in `frames` frames."""
  return sum(math.prod(sense.grid(frames)) for sense in senses)
