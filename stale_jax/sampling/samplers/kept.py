"""What a rollout remembers of past frames: some of the frames, and the amount of motion."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip


def length(clip: Clip) -> int:
  """Number of frames of a clip."""
  return next(iter(clip.values())).shape[1]


def joined(clips: Sequence[Clip]) -> Clip:
  """Concatenates clips along time."""
  return {name: np.concatenate([clip[name] for clip in clips], 1) for name in clips[0]}


class KeptFrames:
  """A buffer of at most `room` frames: the first `sinks` frames of the movie and the most recent ones.

  Attributes:
    frames: sense -> [batch, frames, *shape]; None while the buffer is empty.
  """

  def __init__(self, room: int, sinks: int):
    self._room, self._sinks, self.frames = room, sinks, None

  def add(self, clip: Clip) -> None:
    """Adds the next frames."""
    every, sinks = clip if self.frames is None else joined([self.frames, clip]), self._sinks
    if length(every) > self._room:
      newest = sinks - self._room
      every = {n: np.concatenate([x[:, :sinks], x[:, newest:]], 1) for n, x in every.items()}
    self.frames = every

  def last(self, count: int) -> Clip:
    """The last `count` frames."""
    return {name: x[:, -count:] for name, x in self.frames.items()}


class MotionMeter:
  """Mean absolute difference between consecutive frames of the first sense.

  It is averaged over the first `window` differences (`first`) and over the last `window` (`now`).

  Attributes:
    first: the initial mean, [batch]; None until there are `window` differences.
  """

  def __init__(self, window: int):
    self.window, self._changes, self._last, self.first = window, [], None, None

  def add(self, clip: Clip) -> None:
    """Adds the next frames."""
    x = np.asarray(next(iter(clip.values())), np.float32)
    x = x if self._last is None else np.concatenate([self._last, x], 1)
    self._last = x[:, -1:]
    self._changes += list(np.abs(np.diff(x, axis=1)).mean(tuple(range(2, x.ndim))).T)
    if self.first is None and len(self._changes) >= self.window:
      self.first = np.mean(self._changes[: self.window], 0)
    self._changes = self._changes[-self.window :]

  @property
  def now(self) -> np.ndarray:
    """The mean over the last `window` differences, [batch]."""
    return np.mean(self._changes, 0) if self._changes else np.zeros(0)


def revival(motion: Float[np.ndarray, "batch"], first: Float[np.ndarray, "batch"]) -> np.ndarray:
  """The fraction of the initial motion that each movie has lost, [batch]: 0 for none, 1 for no motion left.

  Noise on the past frames makes the model less certain that nothing moves. This is a feedback loop: the noise
  increases with the lost motion, and vanishes when the motion returns.
  """
  return np.clip(1 - motion / np.maximum(first, 1e-6), 0, 1)
