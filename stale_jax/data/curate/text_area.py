"""Estimates the area of a picture that is covered with text: titles, captions, slides, credits.

Text is detected by its shape, without a model for reading text: letters are strokes of high contrast and one
colour, close to each other in a line that is wider than high. Handwriting, small print and vertical text are
not detected.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

_CONTRAST = 60  # Least difference between strokes and background, in grey levels.
_HEIGHT = (0.02, 0.2)  # Least and largest height of a line, as fractions of the picture's height.
_STROKES = 1.2  # Least number of stroke edges in a stretch of a line that is as long as the line is high.
_SPREAD = 0.22  # Largest spread of colour within strokes, as a fraction of the contrast; noise has 0.3.


def text_area(picture: UInt8[np.ndarray, "height width"]) -> float:
  """The fraction of a grey picture that lines of text cover. A height of 240 pixels is sufficient."""
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
      and _is_text(picture[box])
    ):
      area += wide * high
  return area / (height * width)


def _is_text(box: UInt8[np.ndarray, "height width"]) -> bool:
  """Whether a box contains many strokes of one colour, side by side."""
  low, high = np.percentile(box, (5, 95))
  bright = box > (low + high) / 2
  strokes = np.count_nonzero(bright[:, 1:] != bright[:, :-1], axis=1).mean() / box.shape[1] * box.shape[0]
  # In grass and gravel, neither the bright nor the dark pixels have one colour.
  spread = min(high - np.median(box[bright]), np.median(box[~bright]) - low) / max(high - low, 1)
  return bool(strokes >= _STROKES and spread <= _SPREAD and high - low >= _CONTRAST)
