"""How much of a picture is writing: titles, captions, slides, credits.

By shape alone, without a model that reads: letters are strokes of high contrast, closely side by side in a
line that is wider than high, and of one colour. It does not see handwriting, small print or vertical writing.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

_CONTRAST = 60  # Grey levels between a stroke and what it is written on.
_HEIGHT = (0.02, 0.2)  # Of a line, as shares of the picture's.
_STROKES = 1.2  # Edges of strokes along a line, in a stretch as long as it is high.
_SPREAD = 0.22  # Of the strokes' colour, as a share of the contrast; that of noise is .3.


def text_area(picture: UInt8[np.ndarray, "height width"]) -> float:
  """The share of a grey picture that lines of writing cover; 240 pixels high are enough."""
  height, width = picture.shape
  edges = cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
  strokes = (edges > _CONTRAST).astype(np.uint8)
  gap = max(3, height // 24)
  words = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))
  words = cv2.morphologyEx(words, cv2.MORPH_OPEN, np.ones((max(3, height // 60), 3), np.uint8))
  count, _, boxes, _ = cv2.connectedComponentsWithStats(words, connectivity=4)
  area = 0
  for left, top, wide, high, filled in boxes[1:count]:
    box = slice(top, top + high), slice(left, left + wide)
    if (
      _HEIGHT[0] * height <= high <= _HEIGHT[1] * height
      and wide >= 1.5 * high
      and filled >= 0.5 * wide * high
      and _is_written(picture[box])
    ):
      area += wide * high
  return area / (height * width)


def _is_written(box: UInt8[np.ndarray, "height width"]) -> bool:
  """Whether there are many strokes side by side, of one colour."""
  low, high = np.percentile(box, (5, 95))
  bright = box > (low + high) / 2
  strokes = np.count_nonzero(bright[:, 1:] != bright[:, :-1], axis=1).mean() / box.shape[1] * box.shape[0]
  # Of grass and gravel neither the bright nor the dark is of one colour.
  spread = min(high - np.median(box[bright]), np.median(box[~bright]) - low) / max(high - low, 1)
  return bool(strokes >= _STROKES and spread <= _SPREAD and high - low >= _CONTRAST)
