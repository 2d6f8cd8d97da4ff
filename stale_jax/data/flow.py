"""Dense optical flow between two pictures."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_LEAST = 64  # Pixels of a shorter side, below which the estimator sees nothing.


def flow(
  a: UInt8[np.ndarray, "height width"], b: UInt8[np.ndarray, "height width"], finest: int = 0
) -> Float[np.ndarray, "height width 2"]:
  """Where each pixel of the grey picture `a` is found in `b`: how far to the right and down, in pixels.

  Dense inverse search (Kroeger et al., arXiv 1603.03590), on pictures enlarged by a whole number until the
  shorter side has 64 pixels. Where a picture is blank the flow is whatever lies around. It is sought in
  pictures made smaller by 2^finest: each more takes a quarter of the time, and misses more small things.
  """
  # Anew every time: it lowers its own scale for a small picture, and leaves it there for the next.
  estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
  estimator.setFinestScale(finest)
  height, width = a.shape
  times = -(-_LEAST // min(a.shape))
  if times > 1:
    large = (width * times, height * times)
    a, b = (cv2.resize(x, large, interpolation=cv2.INTER_CUBIC) for x in (a, b))
  found = estimator.calc(a, b, None)
  if times > 1:
    found = cv2.resize(found, (width, height), interpolation=cv2.INTER_AREA) / times
  return found
