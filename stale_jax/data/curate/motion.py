"""How much moves: dense optical flow."""

import cv2
import numpy as np
from jaxtyping import UInt8

from stale_jax.data.flow import flow

_NOISE = 2  # Grey levels that a pixel may change, once smoothed, without anything having moved.


def clip_speed(frames: UInt8[np.ndarray, "frames height width"], seconds: float) -> float:
  """The mean speed of what moves most, in shorter sides of the picture a second.

  Of every pair of neighbours, the mean flow of the tenth of the picture that is fastest, so that a person
  before a wall counts and the wall does not; then the mean over pairs. Where no pixel changes nothing moves,
  whatever the flow of a blank wall is taken to be.

  Args:
    frames: grey, two at least.
    seconds: between two of them.
  """
  # A camera's noise in the dark is no motion.
  smooth = [cv2.GaussianBlur(frame, (5, 5), 0) for frame in frames]
  speeds = []
  for first, second in zip(smooth, smooth[1:], strict=False):
    length = np.hypot(*np.moveaxis(flow(first, second, finest=2), -1, 0))
    length = np.where(cv2.absdiff(first, second) > _NOISE, length, 0).ravel()
    tenth = max(1, length.size // 10)
    speeds.append(np.partition(length, -tenth)[-tenth:].mean())
  return float(np.mean(speeds) / min(frames.shape[1:]) / seconds)
