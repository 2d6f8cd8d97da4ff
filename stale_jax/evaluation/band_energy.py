"""Is what was generated as sharp as what is real? Energy a frequency band."""

from jaxtyping import Float
from numpy import ndarray

from stale_jax.objectives.pyramid import BANDS, band_energies


def band_energy(
  generated: Float[ndarray, "n frames *shape"], real: Float[ndarray, "m frames *shape"], count: int = BANDS
) -> list[float]:
  """Energy of generated clips over that of real ones in each of `count` bands, from fine to coarse.

  Below 1 in the fine bands is blur, above is noise. Both are taken about the mean of the real ones.
  """
  mean = real.mean()
  of_both = zip(band_energies(generated - mean, count), band_energies(real - mean, count), strict=True)
  return [float(a.mean() / b.mean()) for a, b in of_both]
