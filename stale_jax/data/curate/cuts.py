"""Detects cuts between scenes.

PySceneDetect's adaptive detector proposes cuts: pictures whose change of hue, saturation and brightness is
three times that of their neighbours. This excludes fast motion, which changes the neighbours as much. A
proposal is accepted if the two pictures at the cut show different scenes, and if two pictures a little before
and after the cut do so too. The second condition rejects flashes and dropped pictures, whose beginning and
end are proposed as cuts within one scene. Fades and dissolves are too slow to be detected.
"""

import collections
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scenedetect import AdaptiveDetector, FrameTimecode

_DISTANCE = 4  # Pictures from a cut to the earlier and later picture that are compared; longer than a flash.
_NOISE = 3.0  # Standard deviation of noise in grey levels, such as the blocks of a codec in dark pictures.
_MOVED = (3, 4)  # Largest shift between pictures of one scene, in rows (of 18) and columns (of 32).
_COLOUR = 40.0  # Largest change of mean colour between pictures of one scene, in grey levels.
_SAME = 0.75  # Least correlation between pictures of one scene.


def cuts(frames: Iterable[UInt8[np.ndarray, "height width 3"]], rate: float) -> list[int]:
  """Detects the cuts of a video.

  Args:
    frames: all RGB pictures of the video, in order; a height of 64 pixels is sufficient. The iterable is read
      one picture at a time.
    rate: pictures per second.

  Returns:
    The index of the first picture of each scene except the first.
  """
  detector = AdaptiveDetector(adaptive_threshold=3.0, min_scene_len=1, window_width=2, min_content_val=12.0)
  recent, proposed, accepted = collections.deque(maxlen=2 * _DISTANCE + 1), collections.deque(), []
  index = -1
  for index, frame in enumerate(frames):
    recent.append(_small(frame))
    blue_first = np.ascontiguousarray(frame[..., ::-1])
    new = detector.process_frame(FrameTimecode(index, fps=float(rate)), blue_first)
    proposed.extend(cut.frame_num for cut in new)
    if proposed and proposed[0] + _DISTANCE <= index:
      cut = proposed.popleft()
      accepted += [cut] * _is_cut(recent, index - cut)
  return accepted + [cut for cut in proposed if _is_cut(recent, index - cut)]


def _is_cut(recent: Sequence[Float[np.ndarray, "18 32 3"]], ago: int) -> bool:
  """Whether the picture `ago` pictures before the last of `recent` is the first of a new scene."""
  first = len(recent) - 1 - ago
  previous, earlier = recent[first - 1], recent[max(first - _DISTANCE, 0)]
  return not _same(previous, recent[first]) and not _same(earlier, recent[-1])


def _small(frame: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "18 32 3"]:
  return cv2.resize(frame, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32)


def _same(a: Float[np.ndarray, "18 32 3"], b: Float[np.ndarray, "18 32 3"]) -> bool:
  """Whether two pictures show one scene: they have similar mean colours and correlate after a small shift.

  Two pictures without structure count as correlated.
  """
  if np.abs(a.mean((0, 1)) - b.mean((0, 1))).max() > _COLOUR:
    return False
  down, across = _MOVED
  centre = a[down:-down, across:-across]
  return any(
    _correlation(centre, b[y : y + centre.shape[0], x : x + centre.shape[1]]) >= _SAME
    for y in range(2 * down + 1)
    for x in range(2 * across + 1)
  )


def _correlation(a: Float[np.ndarray, "height width 3"], b: Float[np.ndarray, "height width 3"]) -> float:
  a, b = ((picture - picture.mean((0, 1))).ravel() for picture in (a, b))
  flat = len(a) * _NOISE**2
  return float((a @ b + flat) / np.sqrt((a @ a + flat) * (b @ b + flat)))
