"""Does a long movie keep moving? Measured while it is generated, in constant memory.

Video diffusion models slow down and stop when a movie is longer than the training clips, and measures of
stability alone give the best score to a still picture. Therefore motion is measured in windows as long as the
training clips, and compared with the first window. For each clip and window w:

- *pace*: median over the pairs of neighbouring frames of `motion.FrameMotion.speed`, in pixels per frame.
  (The speed of a pair is a weighted mean over pixels: a median would be 0 before a still background.) The
  speed is biased for small pictures, see `motion.frame_motion`: compare it with that of real clips of the
  same size.
- *retention*: R(w) = pace(w) / max(pace(first), .1), so that R is 0 where nothing ever moved.
- *collapse*: R < .5 in three consecutive windows. *Half-life*: frames from the first window to the first with
  R < .5.
- *explained*: 1 - sum |x_t - warp(x_t-1)|^2 / sum |x_t - x_t-1|^2 over the pairs, warped along the flow; from
  0 (noise) to 1 (a moving picture). `motion.frame_motion` defines exactly what is compared.
- *dead*: share of pairs with mean |x_t - x_t-1| < max(1/255, .1 of the median of real clips) and speed < .1.
- *liveliness*: min(R, 1) x explained x (1 - dead) (our measure). Frozen and flickering clips score 0 and real
  ones about 1. Clips at half the pace score .5, or .25 if they are slow because they show every frame twice.
- *loop*: how well the window repeats something earlier (our measure): the maximum over lags of the
  autocorrelation 1 - sum |a - b|^2 / sum (|a - m|^2 + |b - m|^2), where a is the window, b the frames one lag
  earlier and m the mean of the last nine windows, which are kept. As in pitch detection (McLeod & Wyvill,
  ICMC 2005), lags count only after the correlation has fallen to 0: before that, a slow picture resembles
  itself. A window whose value is .9 or more loops; its *period* is the first lag at which the autocorrelation
  is .9 or more. Real clips may loop too: compare with them.
- *luma*, *saturation*: mean luma (Rec. 709) in [0, 1]; sum (max - min) / sum max of the channels (ours: the
  saturation of HSV weighted by light, since black has none).
- *flicker*: 1 - mean |x_t - x_t-1| (VBench, arXiv 2311.17982). A frozen movie scores 1: never use it alone.
- *bits*: entropies, see `evaluation.entropy`.

*Drift* of luma and saturation is |mean of the last 15% - mean of the first 15%| (the start-end contrast of
FramePack, arXiv 2504.12626). *Summed drift* over N windows is sum_i (N - i + 1) |m_i - m_1| / m_1, divided by
N (N + 1) / 2 (the drift error of LV-Bench, arXiv 2511.22973, as a mean, so that different lengths compare).
"""

import functools
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from stale_jax.clip import intensity
from stale_jax.evaluation.entropy import direction_bits, grey_bits, space_bits
from stale_jax.evaluation.motion import STILL, frame_motion

LOOPS = 0.9  # Autocorrelation from which a window counts as looping.
_SLOW, _SLOW_WINDOWS = 0.5, 3  # A clip collapses if R is below .5 in three windows in a row.
_ENDS = 0.15  # Share of a movie that counts as its start, and as its end.
_REMEMBERED = 8  # Number of earlier windows in which loops are searched.
_SIDE = 16  # Largest side, in pixels, of the pictures kept for the detection of loops.
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_POINTS, _SHOWN = 256, 64  # Points of a curve: kept (up to twice as many), and shown.


def change_of(sight: Float[np.ndarray, "clips frames height width 3"]) -> float:
  """Median over all pairs of neighbouring frames of their mean absolute difference, for values in [0, 1]."""
  return float(np.median(np.abs(np.diff(intensity(sight), axis=1)).mean((2, 3, 4))))


def luma(seen: Float[np.ndarray, "*pictures height width 3"]) -> Float[np.ndarray, "*pictures height width"]:
  """Rec. 709 luma of each pixel, for intensities in [0, 1]."""
  return seen @ _LUMA


def saturation(seen: Float[np.ndarray, "pictures height width 3"]) -> Float[np.ndarray, "pictures"]:
  """Saturation of each picture, as the docstring of this module defines it, for intensities in [0, 1]."""
  return (seen.max(-1) - seen.min(-1)).sum((1, 2)) / np.maximum(seen.max(-1).sum((1, 2)), 1e-6)


class Curve:
  """One value per clip and window, for any number of windows, in constant memory.

  Whenever 2 x 256 points are stored, neighbouring points are averaged in pairs and `span` doubles.

  Attributes:
    points: arrays [clips], each the mean of `span` windows.
    span: number of windows per point.
  """

  def __init__(self):
    self.points: list[np.ndarray] = []
    self.span = 1
    self._waiting: list[np.ndarray] = []

  def add(self, value: Float[np.ndarray, "clips"]) -> None:
    """Appends the value of each clip in one window."""
    self._waiting.append(value)
    if len(self._waiting) == self.span:
      self.points.append(functools.reduce(np.add, self._waiting) / self.span)
      self._waiting = []
    if len(self.points) == 2 * _POINTS:
      self.points = [(a + b) / 2 for a, b in zip(self.points[::2], self.points[1::2], strict=True)]
      self.span *= 2

  def ends(self) -> tuple[Float[np.ndarray, "n clips"], Float[np.ndarray, "n clips"]]:
    """The first and the last 15% of the points, at least one each."""
    count = max(1, round(_ENDS * len(self.points)))
    return np.stack(self.points[:count]), np.stack(self.points[-count:])

  def shown(self) -> tuple[list[float | None], int]:
    """Returns the curve for display: (its mean over clips in at most 64 values, number of windows per value).

    Each value is the mean over its windows. It is None if a clip has no value in one of these windows, as
    `loop` has none in the first window.
    """
    means = np.mean(self.points, 1)
    times = -(-len(means) // _SHOWN)
    parts = [float(means[i : i + times].mean()) for i in range(0, len(means), times)]
    return [None if np.isnan(x) else round(x, 4) for x in parts], self.span * times


class Liveliness:
  """Measures a rollout while it is generated. The docstring of this module defines the scores.

  Args:
    window: frames of a window, as many as a training clip has.
    real_change: `change_of` real clips.

  Attributes:
    frames: number of frames added so far.
  """

  def __init__(self, window: int, real_change: float = 0.0):
    self._window, self._least_change = window, max(1 / 255, 0.1 * real_change)
    self.frames, self._windows = 0, 0
    self._before = self._first = None
    self._curves: dict[str, Curve] = {}
    self._sums: dict[str, np.ndarray] = {}
    self._pairs: list[dict[str, np.ndarray]] = []
    self._pictures: list[dict[str, np.ndarray]] = []
    self._small: list[np.ndarray] = []
    self._periods = np.zeros(_REMEMBERED * window + 1, int)

  def add(self, sight: Float[np.ndarray, "clips frames height width 3"]) -> None:
    """Adds frames, in [-1, 1]. Every call passes the next frames of the same clips, in the same order."""
    for frame in np.moveaxis(np.asarray(sight, np.float32), 1, 0):
      self._add(frame)

  def _add(self, frame: Float[np.ndarray, "clips height width 3"]) -> None:
    if self._before is None:
      clips = len(frame)
      self._run, self._longest = np.zeros(clips, int), np.zeros(clips, int)
      self._slow, self._collapsed = np.zeros(clips, int), np.zeros(clips, bool)
      self._half = np.full(clips, np.inf)
      self._drift = {name: np.zeros((2, clips)) for name in ("luma", "saturation")}
    else:
      motions = [vars(frame_motion(a, b)) for a, b in zip(self._before, frame, strict=True)]
      pair = {name: np.array([motion[name] for motion in motions]) for name in motions[0]}
      pair["dead"] = (pair["change"] < self._least_change) & (pair["speed"] < STILL)
      self._run = np.where(pair["dead"], self._run + 1, 0)
      self._longest = np.maximum(self._longest, self._run)
      self._pairs.append(pair)
    self._before = frame
    seen = intensity(frame)
    light = luma(seen)
    self._pictures.append(
      {
        "luma": light.mean((1, 2)),
        "saturation": saturation(seen),
        "grey_bits": grey_bits(light),
        "space_bits": space_bits(light),
      }
    )
    side = [min(_SIDE, size) for size in frame.shape[2:0:-1]]
    small = [cv2.resize(picture.mean(-1), side, interpolation=cv2.INTER_AREA).ravel() for picture in seen]
    self._small = [*self._small[1 - (_REMEMBERED + 1) * self._window :], np.stack(small)]
    self.frames += 1
    if self.frames % self._window == 0:
      self._close()

  def _close(self) -> None:
    """Ends a window: computes its values and discards the measurements of its frames."""
    pairs = {name: np.stack([pair[name] for pair in self._pairs], 1) for name in self._pairs[0]}
    speed, dead = np.median(pairs["speed"], 1), pairs["dead"].mean(1)
    if self._first is None:
      self._first = np.maximum(speed, STILL)
    retention = speed / self._first
    explained = np.clip(1 - pairs["left"].sum(1) / np.maximum(pairs["all"].sum(1), 1e-9), 0, 1)
    explained = np.where(pairs["all"].sum(1) > 0, explained, 0)
    frames, clips = direction_bits(pairs["move"], STILL)
    value = {
      "liveliness": np.minimum(retention, 1) * explained * (1 - dead),
      "retention": retention,
      "explained": explained,
      "dead": dead,
      "pace": speed,
      "dynamic_degree": pairs["dynamic"].mean(1),
      "flicker": 1 - pairs["change"].mean(1),
      "loop": self._loop(),
      "frames_bits": frames,
      "clips_bits": np.full(len(frames), clips),
      **{name: np.mean([picture[name] for picture in self._pictures], 0) for name in self._pictures[0]},
    }
    for name, x in value.items():
      self._curves.setdefault(name, Curve()).add(x)
    if not self._windows:
      self._begun = value
    else:
      summed = {**value, "retention": np.minimum(retention, 1), "looping": value["loop"] >= LOOPS}
      for name, x in summed.items():
        self._sums[name] = self._sums.get(name, 0) + np.nan_to_num(x)
    for name, sums in self._drift.items():
      away = np.abs(value[name] - self._begun[name]) / np.maximum(self._begun[name], 1 / 255)
      sums += np.stack([away, self._windows * away])
    slow = retention < _SLOW
    self._half = np.minimum(self._half, np.where(slow, self._windows * self._window, np.inf))
    self._slow = np.where(slow, self._slow + 1, 0)
    self._collapsed |= self._slow >= _SLOW_WINDOWS
    self._windows += 1
    self._pairs, self._pictures = [], []

  def _loop(self) -> Float[np.ndarray, "clips"]:
    """Returns the loop value of this window, NaN for the first; counts the periods of the clips that loop."""
    small, window = np.stack(self._small, 1), self._window
    if small.shape[1] < 2 * window:
      return np.full(len(small), np.nan)
    small = small - small.mean(1, keepdims=True)
    size, end = np.square(small).sum(2), small.shape[1]
    lags = range(1, end - window + 1)
    found = np.empty((len(small), len(lags)))
    now = small[:, end - window :]
    for i, lag in enumerate(lags):
      apart = np.square(now - small[:, end - window - lag : end - lag]).sum((1, 2))
      both = size[:, end - window :].sum(1) + size[:, end - window - lag : end - lag].sum(1)
      found[:, i] = np.where(both > 1e-9, 1 - apart / np.maximum(both, 1e-9), 1)
    after = np.logical_or.accumulate(found <= 0, 1)
    found = np.where(after, np.maximum(found, 0), 0)
    for clip in found[found.max(1) >= LOOPS]:
      self._periods[1 + np.argmax(clip >= LOOPS)] += 1
    return found.max(1)

  def scores(self) -> dict[str, Any]:
    """Averages over the clips, and over the windows after the first.

    Returns:
      The scores that the docstring of this module defines (for luma and saturation, only the drift), where
      retention: mean of min(R, 1); retention_end: the same over the last 15%.
      half_life: median over clips, in frames; None if it is not reached.
      collapsed: share of clips that collapse.
      dead_run: longest run of dead pairs of frames in any clip.
      luma_drift, saturation_drift: drift; luma_drift_sum, saturation_drift_sum: summed drift.
      looping: share of windows that loop; period: median period of these windows, in frames; None without
        loops.
      frames_bits, clips_bits: entropies of directions over frames and over clips, see `direction_bits`.

    Raises:
      ValueError: there are fewer than two windows.
    """
    if self._windows < 2:
      raise ValueError(f"{self._windows} windows were added; at least 2 are needed.")
    means = {name: float(np.mean(x)) / (self._windows - 1) for name, x in self._sums.items()}
    half, weights = float(np.median(self._half)), self._windows * (self._windows + 1) / 2
    scores = {
      "liveliness": means["liveliness"],
      "retention": means["retention"],
      "retention_end": float(np.minimum(self._curves["retention"].ends()[1], 1).mean()),
      "half_life": None if np.isinf(half) else half,
      "collapsed": float(self._collapsed.mean()),
      "dead": means["dead"],
      "dead_run": int(self._longest.max()),
    }
    for name, (plain, late) in self._drift.items():
      start, end = self._curves[name].ends()
      scores[f"{name}_drift"] = float(np.abs(end.mean(0) - start.mean(0)).mean())
      # `late` counts windows from 0.
      scores[f"{name}_drift_sum"] = float((self._windows * plain - late).mean() / weights)
    periods = np.cumsum(self._periods)
    scores["period"] = int(np.searchsorted(periods, (periods[-1] + 1) / 2)) if periods[-1] else None
    names = ("explained", "pace", "dynamic_degree", "loop", "looping", "flicker")
    bits = ("frames_bits", "clips_bits", "grey_bits", "space_bits")
    return {**scores, **{name: means[name] for name in (*names, *bits)}}

  def curves(self) -> dict[str, int | list[float | None]]:
    """Name -> mean over clips, with one value per `step` frames, at most 64 values; and "step" itself."""
    shown = {name: curve.shown() for name, curve in self._curves.items()}
    step = self._window * next(iter(shown.values()))[1]
    return {"step": step, **{name: values for name, (values, _) in shown.items()}}
