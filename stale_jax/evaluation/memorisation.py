"""Is what was generated new, or a training example again?"""

import numpy as np
from jaxtyping import Float


def nearest_distance(
  a: Float[np.ndarray, "n pixels"], training: Float[np.ndarray, "m pixels"]
) -> Float[np.ndarray, "n"]:
  """Euclidean distance of each row of `a` to its nearest row of `training`."""
  squares = np.square(a).sum(1)[:, None] + np.square(training).sum(1) - 2 * a @ training.T
  return np.sqrt(np.maximum(squares.min(1), 0))


def nearest_ratio(generated, held_out, training) -> float:
  """Median nearest-training distance of what was generated over that of real held-out examples.

  About 1: as new as unseen handwriting. Near 0: copies.
  """
  return float(
    np.median(nearest_distance(generated, training)) / np.median(nearest_distance(held_out, training))
  )
