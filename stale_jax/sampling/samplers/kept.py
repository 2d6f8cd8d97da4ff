"""What a rollout remembers of the frames it made: some of them as they are, and how much they moved."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip


def length(clip: Clip) -> int:
  """Frames of a clip."""
  return next(iter(clip.values())).shape[1]


def joined(clips: Sequence[Clip]) -> Clip:
  """Clips one after the other in time."""
  return {name: np.concatenate([clip[name] for clip in clips], 1) for name in clips[0]}


class KeptFrames:
  """At most `room` frames: the first `sinks` of the movie and the last ones.

  Attributes:
    frames: sense -> [batch, frames, *shape]; None before the first.
  """

  def __init__(self, room: int, sinks: int):
    self._room, self._sinks, self.frames = room, sinks, None

  def add(self, clip: Clip) -> None:
    """The next frames."""
    every, sinks = clip if self.frames is None else joined([self.frames, clip]), self._sinks
    if length(every) > self._room:
      newest = sinks - self._room
      every = {n: np.concatenate([x[:, :sinks], x[:, newest:]], 1) for n, x in every.items()}
    self.frames = every

  def last(self, count: int) -> Clip:
    """The last frames."""
    return {name: x[:, -count:] for name, x in self.frames.items()}


class MotionMeter:
  """Mean absolute change from frame to frame of the first sense: over the first `window` changes, and the
  last.

  Attributes:
    first: [batch]; None until there were so many.
  """

  def __init__(self, window: int):
    self.window, self._changes, self._last, self.first = window, [], None, None

  def add(self, clip: Clip) -> None:
    """The next frames."""
    x = np.asarray(next(iter(clip.values())), np.float32)
    x = x if self._last is None else np.concatenate([self._last, x], 1)
    self._last = x[:, -1:]
    self._changes += list(np.abs(np.diff(x, axis=1)).mean(tuple(range(2, x.ndim))).T)
    if self.first is None and len(self._changes) >= self.window:
      self.first = np.mean(self._changes[: self.window], 0)
    self._changes = self._changes[-self.window :]

  @property
  def now(self) -> np.ndarray:
    """Over the last window, [batch]."""
    return np.mean(self._changes, 0) if self._changes else np.zeros(0)


def revival(motion: Float[np.ndarray, "batch"], first: Float[np.ndarray, "batch"]) -> np.ndarray:
  """How dead each movie is, from 0, as lively as it began, to 1, without motion.

  Noise on the kept frames makes the model less certain that nothing moves. It is a closed loop: the noise
  rises with the motion that is missing, and goes when the motion is back.
  """
  return np.clip(1 - motion / np.maximum(first, 1e-6), 0, 1)
