"""The suite `liveliness`: does a movie longer than any the model was trained on stay alive?"""

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from stale_jax.clip import Clip
from stale_jax.errors import UserError
from stale_jax.evaluation.liveliness import Liveliness, change_of
from stale_jax.evaluation.reader import fitted_reader

WINDOWS = 12  # Of a rollout, unless it is told.
_REAL_VALUES = 1 << 26  # Of real clips, that are held at once.
_LEAST_RETENTION, _MOST_DEAD = 0.8, 1.2
_READ = ("digit", "colour", "speed")  # In any window; the direction is another after a bounce.
# Of these a movie that stands still has the best there are.
_STABILITY = (
  "looping",
  "luma_drift",
  "luma_drift_sum",
  "saturation_drift",
  "saturation_drift_sum",
  "flicker",
  "caption/last",
)
ABOUT = {
  "counts": "1 if the motion lasts (retention .8 at least, dead at most 1.2 times real clips'); else no "
  "score of stability counts, since a movie that stands still would win them all",
  "liveliness": "pace kept x share of the change that is motion x share of frames that live; over the "
  "windows after the first, as are all",
  "retention": "pace of a window over that of the first, as long as the clips of training; 1 at most",
  "retention_end": "the same of the last 15%",
  "half_life": "frames until a window goes at less than half the pace of the first, of the median clip",
  "collapsed": "clips that go at less than half the pace for three windows running",
  "dead": "share of frames that hardly differ from the one before and do not move",
  "dead_run": "the most of them in a row",
  "explained": "share of the change between frames that is motion; noise and blinking have none",
  "pace": "pixels a frame, of what can be seen",
  "dynamic_degree": "the same of its fastest twentieth",
  "looping": "windows that repeat what was within eight windows before, at an autocorrelation of .9",
  "period": "frames after which they do, of the median one",
  "luma_drift": "mean luma of the last 15% against the first 15%",
  "luma_drift_sum": "the same of every window against the first, relative, the early ones weighing more",
  "saturation_drift": "as of luma",
  "saturation_drift_sum": "as of luma",
  "flicker": "1 less the mean difference of neighbouring frames; 1 stands still",
  "frames_bits": "entropy of the directions a clip takes within a window",
  "clips_bits": "entropy of the directions of all clips at a time",
  "grey_bits": "entropy of a frame's grey levels",
  "space_bits": "entropy of where a frame's light is",
  "caption": "digit, colour and speed that a reader reads as the prompt says, of the first and last window",
}
# What is drawn over time, its title, and whether it is a share.
_DRAWN = {
  "liveliness": ("liveliness", True),
  "retention": ("pace, of the first window's", True),
  "pace": ("pace, pixels a frame", False),
  "dead": ("dead frames", True),
  "explained": ("change that is motion", True),
  "loop": ("likeness to what was before", True),
  "luma": ("luma", False),
  "saturation": ("saturation", False),
  "clips_bits": ("directions of all clips, bits", False),
  "frames_bits": ("directions in a window, bits", False),
  "grey_bits": ("grey levels, bits", False),
  "space_bits": ("where the light is, bits", False),
}


def panels(scores: dict[str, Any]) -> list[tuple[str, bool, dict[str, tuple[list[float | None], float]]]]:
  """What `media.curves` draws: (title, is it a share, whose -> (values, seconds from one to the next))."""
  whose = {"generated": scores["curves"], "real clips": scores["real"]["curves"]}
  return [
    (title, share, {who: (curves[name], curves["step"] / scores["rate"]) for who, curves in whose.items()})
    for name, (title, share) in _DRAWN.items()
  ]


def _measured(chunks: Iterator[np.ndarray], window: int, real_change: float, read) -> tuple[dict, np.ndarray]:
  """Scores and curves of a rollout of sight, and its first and last window, one after the other."""
  meter, first, last = Liveliness(window, real_change), [], deque(maxlen=window)
  for chunk in chunks:
    meter.add(chunk)
    frames = list(np.moveaxis(np.asarray(chunk), 1, 0))
    first += frames[: window - len(first)]
    last.extend(frames)
  ends = [np.stack(part, 1) for part in (first, list(last))]
  said = {f"caption/{name}": read(sight) for name, sight in zip(("first", "last"), ends, strict=True) if read}
  scores = {**meter.scores(), **said, "frames": meter.frames, "window": window, "curves": meter.curves()}
  return scores, np.concatenate(ends, 1)


def _made(model, prompts, seeds, windows: int, overrides) -> Iterator[np.ndarray]:
  """Sight of the model's rollout, or, if it cannot go on from frames, of one long sample."""
  frames = windows * model.frames
  if model.goes_on:
    for clip in model.rollout(prompts, seeds, frames=frames, **overrides):
      yield clip["sight"]
  else:
    yield model.sample(prompts, seeds, frames=frames, **overrides)["sight"]


def _real(source, clips: int, windows: int) -> tuple[np.ndarray, int]:
  """Sight of real clips of as many windows, or as many as are to be had; and the frames of a window.

  If no video is as long as two windows, they are halves of clips as trained on.
  """
  most = _REAL_VALUES // (clips * source.frames * math.prod(source.senses["sight"].shape))
  windows = min(windows, max(2, most))
  while windows > 1:
    try:
      sight = _sights(dataclasses.replace(source, frames=windows * source.frames), clips)
      if sight.shape[1] > source.frames:  # A source with buckets has its own lengths.
        return sight, source.frames
    except UserError:  # No video lasts so long.
      pass
    windows //= 2
  return _sights(source, clips), source.frames // 2


def _sights(source, clips: int) -> np.ndarray:
  return np.stack([source[i]["clip"]["sight"] for i in range(clips)])


def evaluate_liveliness(
  model,
  clips: int = 24,
  seed: int = 0,
  seconds: float | None = None,
  told: Callable[[str], str | Sequence[tuple[int, str]]] = str,
  **overrides,
) -> tuple[dict[str, Any], Clip]:
  """Makes long movies of test clips' captions and follows their motion, window by window.

  Args:
    model: a `stale_jax.Model` that sees.
    clips: how many.
    seed: of the first; the others count up.
    seconds: of each, at least; default: twelve windows, each as long as the clips of training.
    told: caption -> what the model is told in its place, by frame, as `Model.rollout` takes it.
    **overrides: of `Sampling`; and of `Rollout`, if the model goes on from given frames. Of one that does not
      a long clip is sampled at once.

  Returns:
    The scores, and the first and last window of the movies. The scores are those of `Liveliness.scores`, and
    caption/first, caption/last: share of digit, colour and speed that a reader reads back as asked, where
      the source has one.
    counts: whether the scores of stability do, 1 or 0; notes: name -> why not, and of each that it does not.
    curves: of `Liveliness.curves`, a value every `step` frames. window: frames. rolled_out: or made at once.
    real: the same of real test clips of the same captions, and `frames`, which may be fewer.

  Raises:
    UserError: the model sees nothing, or there are fewer than two windows.
  """
  source = model.source
  if "sight" not in [sense.name for sense in model.system.data.senses]:
    raise UserError("the suite 'liveliness' follows what is seen, and this model has no sight.")
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  rate, window = source.senses["sight"].rate, source.frames
  windows = WINDOWS if seconds is None else np.ceil(seconds * rate / window - 1e-9)
  if not 2 <= windows < np.inf:
    raise UserError(
      f"seconds={seconds}: more than {window / rate:g} are needed, the length of a clip as trained."
    )
  windows = int(windows)
  test = dataclasses.replace(source, split="test")
  examples = [test[i] for i in range(clips)]
  change = change_of(np.stack([example["clip"]["sight"] for example in examples]))
  read = _reading(source, examples) if source.kind == "digits" else None
  seeds = [seed + i for i in range(clips)]
  made = _made(model, [told(example["caption"]) for example in examples], seeds, windows, overrides)
  scores, ends = _measured(made, window, change, read)
  sight, length = _real(test, clips, windows)
  real, _ = _measured(iter([sight]), length, change, read if length == window else None)
  why = _why_not(scores, real)
  void = {name: "does not count" for name in _STABILITY if name in scores}
  return {
    "counts": int(not why),
    **scores,
    "notes": {"counts": why, **void} if why else {},
    "rolled_out": model.goes_on,
    "clips": clips,
    "rate": rate,
    "real": real,
  }, {"sight": ends}


def _reading(source, examples):
  """Function from a window of sight to the share of labels read back as they should be."""
  reader = fitted_reader(dataclasses.replace(source, split="train"))
  labels = {name: np.array([example["labels"][name] for example in examples]) for name in _READ}

  def read(sight: np.ndarray) -> float:
    said = reader(sight).labels
    return float(np.mean([np.mean(said[name] == labels[name]) for name in _READ]))

  return read


def _why_not(scores: dict[str, Any], real: dict[str, Any]) -> str:
  """Why no score of stability counts; "" if they do."""
  kept, most, reasons = min(scores["retention"], scores["retention_end"]), _MOST_DEAD * real["dead"], []
  if kept < _LEAST_RETENTION:
    reasons.append(f"retention {kept:.2f} is less than {_LEAST_RETENTION}")
  if scores["dead"] > most:
    reasons.append(f"dead {scores['dead']:.3f} is more than {most:.3f}")
  return " and ".join(reasons)
