"""Diversity of a rollout: entropies, in bits, of the pictures and of the directions of motion.

Movies can be lively and yet all look or move alike. The entropy of directions over clips falls when the clips
move in the same direction. The entropy of directions over frames falls when each clip keeps its direction.
The entropies of a frame fall when it darkens, fills with one tone or shrinks to a dot, and rise when it
dissolves into noise. No entropy should be maximised: compare it with the value of real clips.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import digamma

DIRECTIONS = 8  # Sectors of 45 degrees; the first is centred on motion to the right.
LEVELS = 16  # Grey levels of the histogram.


def entropy(counts: Int[np.ndarray, "*batch classes"]) -> Float[np.ndarray, "*batch"]:
  """Estimates the entropy, in bits, of a distribution from counts; 0 where at most one class occurs.

  The plug-in estimate from the shares n_i / N is too low by about (classes - 1) / 2N nats, which Miller
  (1955) adds back. This is Schürmann's estimator at 1/2 (J. Phys. A 37 L295, 2004), that is Grassberger's
  (arXiv physics/0307138) with digamma(N) in place of ln N. Its bias is a fraction of what Miller's correction
  leaves:

    H = digamma(N) - sum_i n_i / N (digamma(n_i) + (-1)^n_i (digamma((n_i + 1) / 2) - digamma(n_i / 2)) / 2)

  Like every estimate from counts, it is too low for dependent samples, such as neighbouring frames.
  """
  counts = np.asarray(counts, np.float64)
  total = counts.sum(-1)
  n = np.maximum(counts, 1)
  sign = 1 - 2 * (n % 2)
  each = digamma(n) + sign * (digamma((n + 1) / 2) - digamma(n / 2)) / 2
  bits = (digamma(np.maximum(total, 1)) - (counts * each).sum(-1) / np.maximum(total, 1)) / np.log(2)
  return np.where((counts > 0).sum(-1) > 1, bits, 0)


def turned(moves: Float[np.ndarray, "*batch 2"], least: float) -> Bool[np.ndarray, "*batch directions"]:
  """One-hot sector of the direction of each move (right, down); all 0 for moves below `least` pixels."""
  angle = np.arctan2(moves[..., 1], moves[..., 0]) / (2 * np.pi)
  sector = np.rint(DIRECTIONS * angle).astype(int) % DIRECTIONS
  moving = np.hypot(moves[..., 0], moves[..., 1]) >= least
  return (sector[..., None] == np.arange(DIRECTIONS)) & moving[..., None]


def direction_bits(
  moves: Float[np.ndarray, "clips pairs 2"], least: float
) -> tuple[Float[np.ndarray, "clips"], float]:
  """Entropies of the directions of motion in a window (our measure): over its frames, and over clips.

  Args:
    moves: motion of the picture from each frame to the next, right and down, in pixels.
    least: pixels; a shorter move counts as standing still and has no direction.

  Returns:
    For each clip, the entropy over its pairs of frames; and the entropy over clips, averaged over the pairs.
    Both are at most 3 bits, up to the error of the estimate.
  """
  taken = turned(moves, least)
  return entropy(taken.sum(1)), float(entropy(taken.sum(0)).mean())


def grey_bits(light: Float[np.ndarray, "*batch height width"]) -> Float[np.ndarray | np.floating, "*batch"]:
  """Entropy of the histogram of a frame's grey values in [0, 1], with LEVELS bins; at most 4 bits."""
  level = np.minimum((light * LEVELS).astype(int), LEVELS - 1)
  return entropy((level[..., None] == np.arange(LEVELS)).sum((-3, -2)))


def space_bits(light: Float[np.ndarray, "*batch height width"]) -> Float[np.ndarray | np.floating, "*batch"]:
  """Entropy, in bits, of the position of a pixel drawn in proportion to its light (our measure).

  2^bits is the number of pixels over which evenly spread light has the same entropy. It is computed exactly,
  not from samples, and is 0 for a black frame.
  """
  flat = light.reshape(*light.shape[:-2], -1).astype(np.float64)
  share = flat / np.maximum(flat.sum(-1, keepdims=True), 1e-12)
  return -(share * np.log2(np.maximum(share, 1e-300))).sum(-1)
