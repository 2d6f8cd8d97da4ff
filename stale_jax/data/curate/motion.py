"""Measures motion by dense optical flow."""

import cv2
import numpy as np
from jaxtyping import UInt8

from stale_jax.data.flow import flow

_NOISE = 2  # Largest change of a smoothed pixel that counts as noise, in grey levels.


def clip_speed(
  frames: UInt8[np.ndarray, "frames height width"], seconds: float, fastest: float = 0.1
) -> float:
  """The mean speed of the fastest part of the picture, in multiples of its shorter side per second.

  For each pair of consecutive frames the speed is averaged over the fastest pixels, so that a still wall
  behind a moving person does not lower it. The result is the mean over pairs. Pixels that do not
  change have speed 0, because the flow in regions without texture is arbitrary.

  Args:
    frames: at least two grey pictures.
    seconds: time between consecutive frames.
    fastest: share of the pixels over which the speed is averaged.
  """
  # Smoothing removes the noise of a camera in the dark, which would count as motion.
  smooth = [cv2.GaussianBlur(frame, (5, 5), 0) for frame in frames]
  speeds = []
  for first, second in zip(smooth, smooth[1:], strict=False):
    length = np.hypot(*np.moveaxis(flow(first, second, finest=2), -1, 0))
    length = np.where(cv2.absdiff(first, second) > _NOISE, length, 0).ravel()
    count = max(1, int(length.size * fastest))
    speeds.append(np.partition(length, -count)[-count:].mean())
  return float(np.mean(speeds) / min(frames.shape[1:]) / seconds)
