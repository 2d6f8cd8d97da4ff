"""Dense optical flow between two pictures."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_LEAST = 64  # Least pixels of the shorter side: the estimator finds no flow in smaller pictures.


def flow(
  a: UInt8[np.ndarray, "height width"], b: UInt8[np.ndarray, "height width"], finest: int = 0
) -> Float[np.ndarray, "height width 2"]:
  """The displacement of each pixel from the grey picture `a` to `b`: (right, down), in pixels.

  Uses dense inverse search (Kroeger et al., arXiv 1603.03590). Pictures whose shorter side is below 64 pixels
  are first enlarged by an integer factor. In regions without texture the flow is that of the surroundings.

  Args:
    a, b: grey pictures of equal size.
    finest: the finest level of the estimator's pyramid; the flow is computed on pictures reduced by
      2^finest. One more level takes a quarter of the time and misses more small objects.
  """
  # The estimator is not reused: a small picture lowers its finest scale, also for later, larger pictures.
  estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
  estimator.setFinestScale(finest)
  height, width = a.shape
  factor = -(-_LEAST // min(a.shape))
  if factor > 1:
    large = (width * factor, height * factor)
    a, b = (cv2.resize(x, large, interpolation=cv2.INTER_CUBIC) for x in (a, b))
  displacement = estimator.calc(a, b, None)
  if factor > 1:
    displacement = cv2.resize(displacement, (width, height), interpolation=cv2.INTER_AREA) / factor
  return displacement
