"""Pictures that a client sends for video-to-video, as the sources of chunks.

The similarity filter (`sampling/stream/similarity.py`) skips chunks whose last picture hardly differs from
that of the last processed chunk: then no chunk enters, and the client keeps showing the last one. The noise
controller (`sampling/stream/noise.py`) sets how much noise a chunk gets.
"""

import collections
import dataclasses
import functools
import threading
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from stale_jax.sampling.stream.noise import NoiseController
from stale_jax.sampling.stream.similarity import SimilarityFilter
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceSettings:
  """How sources are used.

  Attributes:
    similarity: the filter of pictures that hardly change.
    noise: the controller of the noise level.
  """

  similarity: SimilarityFilter = dataclasses.field(default_factory=SimilarityFilter)
  noise: NoiseController = dataclasses.field(default_factory=NoiseController)

  @functools.cached_property
  def skips(self) -> Any:
    """The filter, compiled."""
    return jax.jit(lambda state, frame, key: self.similarity(state, frame, jax.random.key(key)))

  @functools.cached_property
  def noises(self) -> Any:
    """The controller, compiled."""
    return jax.jit(self.noise)


class Sources:
  """The pictures of one stream: the newest that a chunk needs.

  Args:
    settings: how they are used.
    frames: pictures of a chunk.
    seed: seed of the filter's draws.
  """

  def __init__(self, settings: SourceSettings, frames: int, seed: int):
    self._settings, self._frames, self._seed = settings, frames, seed
    self._lock = threading.Lock()
    self._pictures: collections.deque[np.ndarray] = collections.deque(maxlen=frames)
    self._last: np.ndarray | None = None
    self._filter = self._noise = None
    self._draws = 0
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
    if not pictures and self._last is None:
      return {}
    pictures = pictures or [self._last]
    self._last = pictures[-1]
    if self._filter is None:
      self._filter = self._settings.similarity.start(jnp.asarray(self._last))
      self._noise = self._settings.noise.start(jnp.asarray(pictures[0]))
    self._draws += 1
    key = np.uint32((self._seed * 1_000_003 + self._draws) % 2**32)
    self._filter, is_processed = self._settings.skips(self._filter, self._last, key)
    self._noise = self._settings.noises(self._noise, self._last)
    if not is_processed:
      self.skipped += 1
      return {"enters": False}
    # A chunk with fewer pictures begins with copies of its first one.
    sight = np.stack([pictures[0]] * (self._frames - len(pictures)) + pictures)
    return {"source": {"sight": sight}, "scale": float(self._noise.noise)}
