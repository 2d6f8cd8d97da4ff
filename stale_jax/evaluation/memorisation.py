"""Are generated examples new, or copies of training examples?"""

import numpy as np
from jaxtyping import Float


def nearest_distance(
  a: Float[np.ndarray, "n pixels"], training: Float[np.ndarray, "m pixels"]
) -> Float[np.ndarray, "n"]:
  """Euclidean distance from each row of `a` to the nearest row of `training`."""
  squares = np.square(a).sum(1)[:, None] + np.square(training).sum(1) - 2 * a @ training.T
  return np.sqrt(np.maximum(squares.min(1), 0))


def nearest_ratio(generated, held_out, training) -> float:
  """Median distance to the nearest training example, of generated divided by that of held-out examples.

  About 1 means as new as unseen handwriting, near 0 means copies.
  """
  return float(
    np.median(nearest_distance(generated, training)) / np.median(nearest_distance(held_out, training))
  )
