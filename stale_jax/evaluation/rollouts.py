"""The suite `liveliness`: does a movie longer than the training clips keep moving?"""

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from stale_jax.clip import Clip
from stale_jax.errors import UserError
from stale_jax.evaluation.liveliness import Liveliness, change_of
from stale_jax.evaluation.needs import finite
from stale_jax.evaluation.reader import fitted_reader

WINDOWS = 12  # Default number of windows of a rollout.
_REAL_VALUES = 1 << 26  # Largest number of values of real clips in memory.
# Scores of stability count if retention is at least .8 and dead at most 1.2 times that of real clips.
_LEAST_RETENTION, _MOST_DEAD = 0.8, 1.2
_READ = ("digit", "colour", "speed")  # Labels that hold in every window; the direction changes at a bounce.
# Scores of stability: a still movie has the best values.
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
  "counts": "1 if the motion lasts (retention at least .8, dead at most 1.2 times that of real clips); if 0, "
  "the scores of stability do not count, since a still movie has the best of them",
  "liveliness": "retained pace x share of the change that is motion x share of frames that are not dead; a "
  "mean over the windows after the first, like all scores",
  "retention": "pace of a window divided by that of the first window (as long as a training clip); at most 1",
  "retention_end": "the same for the last 15% of the movie",
  "half_life": "frames until the pace of a window is below half that of the first; median over clips",
  "collapsed": "share of clips whose pace is below half that of the first window in three windows in a row",
  "dead": "share of frames that hardly differ from the previous frame and do not move",
  "dead_run": "longest run of dead frames",
  "explained": "share of the change between frames that motion explains; 0 for noise and blinking",
  "pace": "speed in pixels per frame, by optical flow; the estimate is low for small pictures, so compare it "
  "with that of real clips",
  "dynamic_degree": "the same for the fastest twentieth of the picture",
  "looping": "share of windows that repeat one of the last eight windows (autocorrelation of .9 or more)",
  "period": "frames after which looping windows repeat; median",
  "luma_drift": "difference of mean luma between the last and the first 15% of the movie",
  "luma_drift_sum": "relative difference of luma to the first window, mean in which early windows weigh more",
  "saturation_drift": "the same as luma_drift for saturation",
  "saturation_drift_sum": "the same as luma_drift_sum for saturation",
  "flicker": "1 minus the mean difference of neighbouring frames; 1 for a still movie",
  "frames_bits": "entropy of the directions of motion over the frames of a window, in bits",
  "clips_bits": "entropy of the directions of motion over all clips at the same time, in bits",
  "grey_bits": "entropy of the grey levels of a frame, in bits",
  "space_bits": "entropy of the position of light in a frame, in bits",
  "caption": "share of digits, colours and speeds that match the prompt, in the first and the last window",
}
# Curve -> (title of its panel, whether it is a share).
_DRAWN = {
  "liveliness": ("liveliness", True),
  "retention": ("pace / pace of first window", True),
  "pace": ("pace, pixels per frame", False),
  "dead": ("dead frames", True),
  "explained": ("change that is motion", True),
  "loop": ("similarity to earlier frames", True),
  "luma": ("luma", False),
  "saturation": ("saturation", False),
  "clips_bits": ("directions of all clips, bits", False),
  "frames_bits": ("directions in a window, bits", False),
  "grey_bits": ("grey levels, bits", False),
  "space_bits": ("position of light, bits", False),
}


def panels(scores: dict[str, Any]) -> list[tuple[str, bool, dict[str, tuple[list[float | None], float]]]]:
  """Panels for `media.curves`: (title, whether it is a share, curve -> (values, seconds per value))."""
  both = {"generated": scores["curves"], "real clips": scores["real"]["curves"]}
  return [
    (title, share, {key: (curves[name], curves["step"] / scores["rate"]) for key, curves in both.items()})
    for name, (title, share) in _DRAWN.items()
  ]


def _measured(chunks: Iterator[np.ndarray], window: int, real_change: float, read) -> tuple[dict, np.ndarray]:
  """Returns the scores and curves of a rollout of sight, and its first and last windows, concatenated."""
  meter, first, last = Liveliness(window, real_change), [], deque(maxlen=window)
  for chunk in chunks:
    meter.add(chunk)
    frames = list(np.moveaxis(np.asarray(chunk), 1, 0))
    first += frames[: window - len(first)]
    last.extend(frames)
  ends = [np.stack(part, 1) for part in (first, list(last))]
  captions = {
    f"caption/{name}": read(sight) for name, sight in zip(("first", "last"), ends, strict=True) if read
  }
  scores = {**meter.scores(), **captions, "frames": meter.frames, "window": window, "curves": meter.curves()}
  return scores, np.concatenate(ends, 1)


def _made(model, prompts, seeds, windows: int, overrides) -> Iterator[np.ndarray]:
  """Yields the sight of a rollout in chunks or, if the model cannot continue frames, of one long sample."""
  frames = windows * model.frames
  if model.goes_on:
    for clip in model.rollout(prompts, seeds, frames=frames, **overrides):
      yield finite(clip)["sight"]
  else:
    yield finite(model.sample(prompts, seeds, frames=frames, **overrides))["sight"]


def _real(source, clips: int, windows: int) -> tuple[np.ndarray, int]:
  """Returns the sight of real clips, and the number of frames per window.

  The clips have `windows` windows, or as many as memory and the length of the videos allow. If no video is as
  long as two windows, the clips are as long as a training clip, and a window is half of it.
  """
  most = _REAL_VALUES // (clips * source.frames * math.prod(source.senses["sight"].shape))
  windows = min(windows, max(2, most))
  while windows > 1:
    try:
      sight = _sights(dataclasses.replace(source, frames=windows * source.frames), clips)
      if sight.shape[1] > source.frames:  # A source with buckets ignores the requested length.
        return sight, source.frames
    except UserError:  # No video is that long.
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
  """Generates long movies for the captions of test clips, and measures their motion window by window.

  Args:
    model: a `stale_jax.Model` with sight.
    clips: number of movies, at least 2.
    seed: seed of the first movie; each further movie adds 1.
    seconds: minimal length of each movie; by default twelve windows, each as long as a training clip.
    told: caption -> the prompt that the model gets in its place, or (start frame, prompt) pairs, see
      `Model.rollout`.
    **overrides: settings of `Sampling`, and of `Rollout` if the model can continue frames. Any other model
      samples the whole movie at once.

  Returns:
    The scores, and the first and last windows of the movies. The scores are those of `Liveliness.scores`, and
    caption/first, caption/last: share of digits, colours and speeds that match the caption, where the source
      has a reader.
    counts: 1 if the motion lasts, so that the scores of stability count, else 0.
    notes: score -> note to show with it: if `counts` is 0, the reason and a note for each score of stability.
    curves: see `Liveliness.curves`; window: number of frames of a window; frames: that of a movie.
    rolled_out: whether the movies were continued chunk by chunk, instead of sampled at once.
    clips: number of movies; rate: frames per second.
    real: the same scores of real test clips with the same captions; these may have fewer frames.

  Raises:
    UserError: the model has no sight, `clips` is below 2, or `seconds` is no longer than a training clip.
  """
  source = model.source
  if "sight" not in [sense.name for sense in model.system.data.senses]:
    raise UserError("the suite 'liveliness' needs a model of image frames; this model has no sight.")
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  rate, window = source.senses["sight"].rate, source.frames
  windows = WINDOWS if seconds is None else np.ceil(seconds * rate / window - 1e-9)
  if not 2 <= windows < np.inf:
    raise UserError(
      f"seconds={seconds}: more than {window / rate:g} are needed, the length of a training clip."
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
  reason = _why_not(scores, real)
  void = {name: "does not count" for name in _STABILITY if name in scores}
  return {
    "counts": int(not reason),
    **scores,
    "notes": {"counts": reason, **void} if reason else {},
    "rolled_out": model.goes_on,
    "clips": clips,
    "rate": rate,
    "real": real,
  }, {"sight": ends}


def _reading(source, examples):
  """Returns a function: window of sight -> share of its labels that match those of the examples."""
  reader = fitted_reader(dataclasses.replace(source, split="train"))
  labels = {name: np.array([example["labels"][name] for example in examples]) for name in _READ}

  def read(sight: np.ndarray) -> float:
    read_back = reader(sight).labels
    return float(np.mean([np.mean(read_back[name] == labels[name]) for name in _READ]))

  return read


def _why_not(scores: dict[str, Any], real: dict[str, Any]) -> str:
  """Why the scores of stability do not count; "" if they do."""
  retention, most, reasons = min(scores["retention"], scores["retention_end"]), _MOST_DEAD * real["dead"], []
  if retention < _LEAST_RETENTION:
    reasons.append(f"retention {retention:.2f} is less than {_LEAST_RETENTION}")
  if scores["dead"] > most:
    reasons.append(f"dead {scores['dead']:.3f} is more than {most:.3f}")
  return " and ".join(reasons)
