"""Are generated clips as sharp as real ones? Energy per frequency band."""

from jaxtyping import Float
from numpy import ndarray

from stale_jax.objectives.pyramid import BANDS, band_energies


def band_energy(
  generated: Float[ndarray, "n frames *shape"], real: Float[ndarray, "m frames *shape"], count: int = BANDS
) -> list[float]:
  """Energy of generated clips divided by that of real clips in each of `count` bands, from fine to coarse.

  In the fine bands, a ratio below 1 means blur and one above 1 means noise. The mean of the real clips is
  subtracted from both.
  """
  mean = real.mean()
  of_both = zip(band_energies(generated - mean, count), band_energies(real - mean, count), strict=True)
  return [float(a.mean() / b.mean()) for a, b in of_both]
