"""How much a rollout still has to say: entropies, in bits, of what is seen and of where it moves.

A model whose movies all come to move the same way, or to look the same, may be lively and say little. The
entropy of directions over clips falls when the clips come to agree, that over frames when each one keeps
going one way; those of a frame fall when it darkens, fills with one tone or shrinks to a dot, and rise when
it dissolves into noise: neither is good by itself, and all are to be compared with real clips' own.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import digamma

DIRECTIONS = 8  # Sectors of 45 degrees, the first around the right.
LEVELS = 16  # Of grey.


def entropy(counts: Int[np.ndarray, "*batch classes"]) -> Float[np.ndarray, "*batch"]:
  """The entropy in bits of what was counted, nearly without bias; 0 where there is one class at the most.

  That of the shares n_i / N is too low, by about (classes - 1) / 2N nats, which Miller (1955) adds back. This
  is Schürmann's estimator at 1/2 (J. Phys. A 37 L295, 2004), which is Grassberger's (arXiv physics/0307138)
  with digamma(N) in place of ln N; what bias it has is a fraction of what Miller's correction leaves:

    H = digamma(N) - sum_i n_i / N (digamma(n_i) + (-1)^n_i (digamma((n_i + 1) / 2) - digamma(n_i / 2)) / 2)

  Of samples that depend on one another, as neighbouring frames do, it is too low as any other is.
  """
  counts = np.asarray(counts, np.float64)
  total = counts.sum(-1)
  n = np.maximum(counts, 1)
  sign = 1 - 2 * (n % 2)
  each = digamma(n) + sign * (digamma((n + 1) / 2) - digamma(n / 2)) / 2
  bits = (digamma(np.maximum(total, 1)) - (counts * each).sum(-1) / np.maximum(total, 1)) / np.log(2)
  return np.where((counts > 0).sum(-1) > 1, bits, 0)


def turned(moves: Float[np.ndarray, "*batch 2"], least: float) -> Bool[np.ndarray, "*batch directions"]:
  """Which of DIRECTIONS each move (right, down) takes, as ones and zeros; none if shorter than `least`."""
  angle = np.arctan2(moves[..., 1], moves[..., 0]) / (2 * np.pi)
  sector = np.rint(DIRECTIONS * angle).astype(int) % DIRECTIONS
  moving = np.hypot(moves[..., 0], moves[..., 1]) >= least
  return (sector[..., None] == np.arange(DIRECTIONS)) & moving[..., None]


def direction_bits(
  moves: Float[np.ndarray, "clips pairs 2"], least: float
) -> tuple[Float[np.ndarray, "clips"], float]:
  """Entropies of the directions of motion in a window (ours): over its frames, and over clips.

  Args:
    moves: how far the picture moves from each frame to the next, right and down, in pixels.
    least: pixels, below which a picture stands and has no direction.

  Returns:
    Of each clip, over the pairs of frames; and over the clips, mean of the pairs. At most 3 bits, but for
    the estimate's error.
  """
  taken = turned(moves, least)
  return entropy(taken.sum(1)), float(entropy(taken.sum(0)).mean())


def grey_bits(light: Float[np.ndarray, "*batch height width"]) -> Float[np.ndarray | np.floating, "*batch"]:
  """Entropy of a frame's histogram of LEVELS greys, of light in [0, 1]: Shannon's of a picture; at most 4."""
  level = np.minimum((light * LEVELS).astype(int), LEVELS - 1)
  return entropy((level[..., None] == np.arange(LEVELS)).sum((-3, -2)))


def space_bits(light: Float[np.ndarray, "*batch height width"]) -> Float[np.ndarray | np.floating, "*batch"]:
  """Entropy of where a frame's light is (ours): of a pixel drawn in proportion to its light.

  2 to its power is how many pixels share the light, were it spread evenly. Nothing is sampled, so that it is
  exact; of a black frame it is 0.
  """
  flat = light.reshape(*light.shape[:-2], -1).astype(np.float64)
  share = flat / np.maximum(flat.sum(-1, keepdims=True), 1e-12)
  return -(share * np.log2(np.maximum(share, 1e-300))).sum(-1)
