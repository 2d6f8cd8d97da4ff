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
  """Median distance of generated examples to the nearest training example, divided by that of held-out ones.

  A ratio of about 1 means that generated examples are as new as unseen ones; near 0, they are copies.

  Args:
    generated, held_out, training: examples, [n, pixels].
  """
  return float(
    np.median(nearest_distance(generated, training)) / np.median(nearest_distance(held_out, training))
  )
