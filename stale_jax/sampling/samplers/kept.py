"""State of a rollout on the host: some of the past frames, and the amount of motion in them."""

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
    """Appends the next frames; if there are too many, drops the oldest frames that are not sinks."""
    every, sinks = clip if self.frames is None else joined([self.frames, clip]), self._sinks
    if length(every) > self._room:
      newest = sinks - self._room
      every = {n: np.concatenate([x[:, :sinks], x[:, newest:]], 1) for n, x in every.items()}
    self.frames = every

  def last(self, count: int) -> Clip:
    """The last `count` frames."""
    return {name: x[:, -count:] for name, x in self.frames.items()}


class MotionMeter:
  """Measures motion: the mean absolute difference between consecutive frames of the first sense.

  Two means are kept: `first`, over the first `window` pairs of frames, and `now`, over the last `window`.

  Attributes:
    first: the mean at the start of the movie, [batch]; None until there are `window` pairs of frames.
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
    """The mean over the last `window` pairs of frames, [batch]; empty before the first pair."""
    return np.mean(self._changes, 0) if self._changes else np.zeros(0)


def revival(motion: Float[np.ndarray, "batch"], first: Float[np.ndarray, "batch"]) -> np.ndarray:
  """The fraction of the initial motion that each movie has lost, [batch]: 0 for none, 1 for no motion left.

  `CausalRollout` adds noise to the past frames in proportion to it (`Rollout.revive`). With noise on the past
  frames, the model is less certain that nothing moves. The noise vanishes when the motion returns.
  """
  return np.clip(1 - motion / np.maximum(first, 1e-6), 0, 1)
