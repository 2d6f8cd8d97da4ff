"""A pyramid of differences of Gaussians, over time and space.

  B_0 = 1 - G_1,  B_k = G_k - G_(k+1),  B_last = G_last,    G_k a Gaussian blur of sd 2^(k-2),

along time, height and width together, in frames and pixels (Burt and Adelson, The Laplacian
Pyramid as a Compact Image Code, 1983, without its subsampling). The bands add up to the identity.
"""

import functools

import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Clip

# How many bands a clip's fine structure is measured in.
BANDS = 3


@functools.cache
def blur_matrix(size: int, sd: float) -> Float[np.ndarray, "size size"]:
  """Gaussian blur of `size` values, reflected at both ends, as a matrix in float64; rows sum to 1.

  The cosines of that reflection are its eigenvectors, with the Gaussian's own exp(-(sd w)^2 / 2) for
  eigenvalues: a sampled Gaussian of half a pixel is no Gaussian.
  """
  frequency = np.pi * np.arange(size) / size
  cosines = np.cos(frequency[:, None] * (np.arange(size) + 0.5))
  cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
  return cosines.T @ (np.exp(-0.5 * np.square(sd * frequency))[:, None] * cosines)


def split_bands(
  x: Float[Array, "batch frames *shape"], count: int
) -> list[Float[Array, "batch frames *shape"]]:
  """The `count` bands of `x` from fine to coarse, in its own kind of array: numpy's or JAX's.

  All axes but the first and the last (channels) are blurred; those of one value stay as they are.
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
  """Mean square of each band of each example."""
  return [(band**2).reshape(len(x), -1).mean(-1) for band in split_bands(x, count)]


def response(clip: Clip, count: int = BANDS) -> Float[Array, "batch"]:
  """How much fine structure each clip has: the energy of all bands but the coarsest, over all its values."""
  return sum(sum(band_energies(x, count)[:-1]) * x[0].size for x in clip.values())
