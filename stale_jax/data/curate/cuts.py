"""Where one scene ends and the next begins.

PySceneDetect's adaptive detector proposes: a change of hue, saturation and brightness that is three times
that of its neighbours, so that fast motion, which changes every picture, is none. A proposal is a cut if the
two pictures show something else, and so do those a little before and after: a flash, or a picture lost, is
proposed twice within one scene. Fades are slow, and are no cuts; nor is one scene dissolving into the next.
"""

import collections
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scenedetect import AdaptiveDetector, FrameTimecode

_APART = 4  # Pictures before and after a cut that are compared: longer than a flash.
_NOISE = 3.0  # Grey levels that say nothing: in the dark a codec's blocks come and go.
_MOVED = (3, 4)  # Of 18 rows and 32 columns, by which a scene may have moved meanwhile.
_COLOUR = 40.0  # Grey levels by which one scene's mean colour may have changed meanwhile.
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
    now = detector.process_frame(FrameTimecode(index, fps=float(rate)), blue_first)
    proposed.extend(cut.frame_num for cut in now)
    if proposed and proposed[0] + _APART <= index:
      cut = proposed.popleft()
      found += [cut] * _is_cut(recent, index - cut)
  return found + [cut for cut in proposed if _is_cut(recent, index - cut)]


def _is_cut(recent: Sequence[Float[np.ndarray, "18 32 3"]], ago: int) -> bool:
  """Whether the picture before the last `ago` ones is the first of another scene than those before it."""
  first = len(recent) - 1 - ago
  neighbours, apart = recent[first - 1], recent[max(first - _APART, 0)]
  return not _same(neighbours, recent[first]) and not _same(apart, recent[-1])


def _small(frame: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "18 32 3"]:
  return cv2.resize(frame, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32)


def _same(a: Float[np.ndarray, "18 32 3"], b: Float[np.ndarray, "18 32 3"]) -> bool:
  """Whether they show one scene, moved by a little, but for contrast; flat ones of one colour do."""
  if np.abs(a.mean((0, 1)) - b.mean((0, 1))).max() > _COLOUR:
    return False
  down, across = _MOVED
  middle = a[down:-down, across:-across]
  return any(
    _correlation(middle, b[y : y + middle.shape[0], x : x + middle.shape[1]]) >= _SAME
    for y in range(2 * down + 1)
    for x in range(2 * across + 1)
  )


def _correlation(a: Float[np.ndarray, "height width 3"], b: Float[np.ndarray, "height width 3"]) -> float:
  a, b = ((picture - picture.mean((0, 1))).ravel() for picture in (a, b))
  flat = len(a) * _NOISE**2
  return float((a @ b + flat) / np.sqrt((a @ a + flat) * (b @ b + flat)))
