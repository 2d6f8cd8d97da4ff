"""Motion of the camera in a clip: panning, tilting and zooming.

Both functions return the motion of the picture, (right, down, growth), in pixels per frame. Growth is the
velocity of the middles of the left and the right edge away from the centre. A camera that pans left moves the
picture right; a camera that tilts up moves it down; one that zooms in makes it grow. What moves through the
picture by itself counts too: ask only for components along which nothing does.
"""

import cv2
import numpy as np
from jaxtyping import Float

from stale_jax.clip import intensity
from stale_jax.evaluation.motion import smooth_flow
from stale_jax.evaluation.reader import track


def picture_motion(sight: Float[np.ndarray, "frames height width 3"]) -> Float[np.ndarray, "3"]:
  """The motion of the whole picture by its optical flow; the median over the pairs of neighbouring frames.

  The flow (`motion.smooth_flow`) is fitted by least squares, weighted with squared gradients, with

    flow = (right, down) + growth / (width / 2) (position - centre).

  In pictures of less than about 48 pixels, the smoothing hides a part of the growth.

  Args:
    sight: pictures in [-1, 1], at least two.
  """
  pictures = [cv2.GaussianBlur(intensity(x), (3, 3), 0.7) for x in sight]
  return np.median([_fit(*pair) for pair in zip(pictures[:-1], pictures[1:], strict=True)], 0)


def ink_motion(sight: Float[np.ndarray, "clips frames side side 3"]) -> Float[np.ndarray, "clips 3"]:
  """The motion of a bright thing on a dark canvas, by its moments: much more precise than its flow.

  Position and size of the ink (`reader.track`) are its mean and its standard deviation. They are fitted by
  straight lines in time, the size by its logarithm.

  Args:
    sight: pictures in [-1, 1].
  """
  path, ink = track(sight)["path"], intensity(sight).max(-1)
  frames, side = ink.shape[1:3]
  places = np.arange(side)
  rows, columns = (places - path[..., i, None] for i in (0, 1))
  squares = np.square(rows)[..., :, None] + np.square(columns)[..., None, :]
  mass = np.maximum(ink.sum((2, 3)), 1e-6)
  size = np.log(np.maximum((ink * squares).sum((2, 3)) / mass, 1e-6)) / 2
  time = np.arange(frames) - (frames - 1) / 2
  lines = np.stack([path[..., 1], path[..., 0], side / 2 * size], -1)
  return np.einsum("f,nfc->nc", time, lines) / np.square(time).sum()


def _fit(before, after) -> Float[np.ndarray, "3"]:
  backward, weight = smooth_flow(before, after)
  height, width = weight.shape
  across = (np.arange(width) - (width - 1) / 2) / (width / 2)
  below = (np.arange(height) - (height - 1) / 2) / (width / 2)
  across, below = np.broadcast_to(across, weight.shape), np.broadcast_to(below[:, None], weight.shape)
  one, zero = np.ones_like(across), np.zeros_like(across)
  design = np.concatenate([np.stack([one, zero, across], -1), np.stack([zero, one, below], -1)]).reshape(
    -1, 3
  )
  root = np.sqrt(np.concatenate([weight, weight]).ravel())
  flow = -np.concatenate([backward[..., 0], backward[..., 1]]).ravel()
  return np.linalg.lstsq(design * root[:, None], flow * root, rcond=None)[0]
