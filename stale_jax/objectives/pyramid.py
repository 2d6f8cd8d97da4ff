"""A pyramid of differences of Gaussians over time and space.

  B_0 = 1 - G_1,  B_k = G_k - G_(k+1),  B_last = G_last,

where G_k is a Gaussian blur of standard deviation 2^(k-2) along time, height and width, in frames and pixels
(Burt and Adelson, The Laplacian Pyramid as a Compact Image Code, 1983, without its subsampling). The bands
add up to the identity.
"""

import functools

import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Clip

# Default number of bands.
BANDS = 3


@functools.cache
def blur_matrix(size: int, sd: float) -> Float[np.ndarray, "size size"]:
  """The matrix of a Gaussian blur of `size` values with reflecting ends, in float64; its rows sum to 1.

  The eigenvectors are the cosines of the reflecting boundary (those of the DCT), and the eigenvalues are
  exp(-(sd w)^2 / 2), the Fourier transform of the Gaussian. This is exact at any width; a sampled kernel with
  a standard deviation of half a pixel would be far from Gaussian.
  """
  frequency = np.pi * np.arange(size) / size
  cosines = np.cos(frequency[:, None] * (np.arange(size) + 0.5))
  cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
  return cosines.T @ (np.exp(-0.5 * np.square(sd * frequency))[:, None] * cosines)


def split_bands(
  x: Float[Array, "batch frames *shape"], count: int
) -> list[Float[Array, "batch frames *shape"]]:
  """Splits `x` into `count` bands, from fine to coarse. NumPy arrays give NumPy bands, JAX arrays JAX bands.

  Every axis is blurred except the first (batch) and the last (channels).
  """
  blurred = [x]
  for level in range(count - 1):
    y = x
    for axis in range(1, x.ndim - 1):
      matrix = blur_matrix(x.shape[axis], 2.0 ** (level - 1)).T.astype(x.dtype)
      y = (y.swapaxes(axis, -1) @ matrix).swapaxes(axis, -1)
    blurred.append(y)
  return [a - b for a, b in zip(blurred[:-1], blurred[1:], strict=True)] + [blurred[-1]]


def band_energies(x: Float[Array, "batch frames *shape"], count: int) -> list[Float[Array, "batch"]]:
  """The mean square of each band, for each example."""
  return [(band**2).reshape(len(x), -1).mean(-1) for band in split_bands(x, count)]


def response(clip: Clip, count: int = BANDS) -> Float[Array, "batch"]:
  """The amount of fine structure in each clip: the summed energy of all bands but the coarsest.

  Energies are sums over the values of all senses.
  """
  return sum(sum(band_energies(x, count)[:-1]) * x[0].size for x in clip.values())
