"""Where one scene ends and the next begins.

PySceneDetect's adaptive detector proposes: a change of hue, saturation and brightness that is three times
that of its neighbours, so that fast motion, which changes every picture, is none. A proposal is a cut if the
pictures before and after it differ, too: a flash, or a picture lost, proposes two cuts within one scene.
Fades are slow, and are no cuts.
"""

import collections
from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scenedetect import AdaptiveDetector, FrameTimecode

_APART = 4  # Pictures before and after a cut that are compared: longer than a flash.
_NOISE = 3.0  # Grey levels that say nothing: in the dark a codec's blocks come and go.
_SAME = 0.75  # Correlation of pictures above which they show one scene.


def cuts(frames: Iterable[UInt8[np.ndarray, "height width 3"]], rate: float) -> list[int]:
  """The index of the first picture of every scene but the first.

  Args:
    frames: all of the video's, in order, RGB; 64 pixels high are enough. They are taken one by one.
    rate: a second.
  """
  detector = AdaptiveDetector(adaptive_threshold=3.0, min_scene_len=1, window_width=2, min_content_val=12.0)
  recent, proposed, found = collections.deque(maxlen=2 * _APART + 1), collections.deque(), []
  index = -1
  for index, frame in enumerate(frames):
    recent.append(_small(frame))
    blue_first = np.ascontiguousarray(frame[..., ::-1])
    now = detector.process_frame(FrameTimecode(index, fps=rate), blue_first)
    proposed.extend(cut.frame_num for cut in now)
    while proposed and proposed[0] + _APART <= index:
      cut = proposed.popleft()
      # `recent` ends with the picture `index`, which is at most a few after `cut`.
      after = len(recent) - 1 - (index - cut - _APART)
      if _correlation(recent[max(after - 2 * _APART, 0)], recent[after]) < _SAME:
        found.append(cut)
  for cut in proposed:  # So near the end that there are no pictures beyond a flash.
    before = max(len(recent) - 1 - (index - cut + _APART), 0)
    if _correlation(recent[before], recent[-1]) < _SAME:
      found.append(cut)
  return found


def _small(frame: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "432"]:
  small = cv2.resize(frame, (16, 9), interpolation=cv2.INTER_AREA).astype(np.float32)
  return (small - small.mean((0, 1))).ravel()


def _correlation(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
  """1: the same but for brightness and contrast; flat pictures are like any other."""
  flat = len(a) * _NOISE**2
  return float((a @ b + flat) / np.sqrt((a @ a + flat) * (b @ b + flat)))
