"""Motion of the camera in a clip: panning, tilting and zooming."""

import cv2
import numpy as np
from jaxtyping import Float

from stale_jax.clip import intensity
from stale_jax.evaluation.motion import smooth_flow


def picture_motion(sight: Float[np.ndarray, "frames height width 3"]) -> Float[np.ndarray, "3"]:
  """The motion of the whole picture: (right, down, growth), in pixels per frame, averaged over the clip.

  Growth is the velocity of the middles of the left and the right edge away from the centre. A camera that
  pans left moves the picture right; a camera that tilts up moves it down.

  The flow of each pair of frames (`motion.smooth_flow`) is fitted by weighted least squares with

    flow = (right, down) + growth / (width / 2) (position - centre).

  What moves through the picture counts as motion of the picture, in proportion to its squared gradients: ask
  only for components along which nothing moves by itself, or compare clips of the same contents.

  Args:
    sight: pictures in [-1, 1], at least two.
  """
  pictures = [cv2.GaussianBlur(intensity(x), (3, 3), 0.7) for x in sight]
  return np.mean([_fit(*pair) for pair in zip(pictures[:-1], pictures[1:], strict=True)], 0)


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
