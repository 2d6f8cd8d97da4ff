"""Pictures that a client sends for video-to-video, as the sources of chunks (`sampling/stream/video.py`).

If a chunk hardly differs from the last processed one, no chunk enters, and the client keeps showing the last.
"""

import collections
import functools
import threading
from typing import Any

import cv2
import jax
import numpy as np
from jaxtyping import Float

from stale_jax.sampling.stream.video import VideoState, VideoToVideo
from stale_jax.serving.refusal import RefusalError

_MOST_PIXELS = 4096 * 4096  # Of a picture that is decoded.


def decode_picture(data: bytes, height: int, width: int) -> Float[np.ndarray, "height width 3"]:
  """Decodes a JPEG, PNG or WebP file into [-1, 1], scaled to cover height x width and centre-cropped.

  Raises:
    RefusalError: the bytes are no picture.
  """
  try:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
  except cv2.error:
    picture = None
  if picture is None or picture.shape[0] * picture.shape[1] > _MOST_PIXELS:
    raise RefusalError("bad_picture", "the bytes are not a JPEG, PNG or WebP picture of a usual size.")
  scale = max(height / picture.shape[0], width / picture.shape[1])
  size = (max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale)))
  picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
  top, left = (size[1] - height) // 2, (size[0] - width) // 2
  return picture[top : top + height, left : left + width].astype(np.float32) / 127.5 - 1


class Sources:
  """The pictures of one stream: the newest that a chunk needs.

  Args:
    video: the rules of video-to-video.
    frames: pictures of a chunk.
    seed: seed of the filter's draws.

  Attributes:
    last: the newest picture of the last chunk; None before the first.
    skipped: number of chunks that the filter has skipped.
  """

  def __init__(self, video: VideoToVideo, frames: int, seed: int):
    self._decide, self._keys = _deciding(video), jax.random.key(np.uint32(seed % 2**32))[None]
    self._video, self._frames = video, frames
    self._lock = threading.Lock()
    self._pictures: collections.deque[np.ndarray] = collections.deque(maxlen=frames)
    self.last: np.ndarray | None = None
    self._state: VideoState | None = None
    self.skipped = 0

  def add(self, picture: Float[np.ndarray, "height width 3"]) -> None:
    """Adds the next picture; only the newest of a chunk are kept."""
    with self._lock:
      self._pictures.append(picture)

  def next(self) -> dict[str, Any]:
    """The fields of a `Row` for the next chunk; nothing before the first picture."""
    with self._lock:
      pictures = list(self._pictures)
      self._pictures.clear()
    if not pictures and self.last is None:
      return {}
    pictures = pictures or [self.last]
    self.last = pictures[-1]
    # A chunk with fewer pictures begins with copies of its first one.
    sight = np.stack([pictures[0]] * (self._frames - len(pictures)) + pictures)
    source = {"sight": sight[None]}
    if self._state is None:
      self._state = self._video.start(source)
    self._state, enters, scale = self._decide(self._state, source, np.ones(1, bool), self._keys)
    if not enters[0]:
      self.skipped += 1
      return {"enters": False}
    return {"source": {"sight": sight}, "scale": float(scale[0])}


@functools.cache
def _deciding(video: VideoToVideo) -> Any:
  """`VideoToVideo.decide`, compiled once for all streams."""
  return jax.jit(video.decide)
