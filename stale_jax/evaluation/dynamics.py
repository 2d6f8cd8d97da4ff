"""The suite `dynamics`: do generated trajectories follow the dynamics of their source?

The suite needs a source with known dynamics: `advance` maps the state of a frame to the state of the next
frame, and `read` returns the labels of a clip. A clip has one sense, with one vector (the state) per frame.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip
from stale_jax.errors import UserError
from stale_jax.evaluation.needs import finite

ABOUT = {
  "defect": "rms error of a frame against the prediction from the frame before, divided by the rms step; 0 "
  "for a trajectory that follows the dynamics, 1 for one that stands still",
  "marginals": "Wasserstein distance between generated and real values, mean over coordinates",
  "caption": "share of clips that match their caption",
  "lyapunov": "largest Lyapunov exponent along the trajectory, per second",
}
_NUDGE = 1e-6  # Step of the finite difference that linearises the dynamics.


def defect(clips: Float[np.ndarray, "n frames values"], advance) -> float:
  """rms of x[k+1] - advance(x[k]) divided by that of advance(x[k]) - x[k].

  It is 0 for a trajectory that follows the dynamics, and 1 for one that stands still.
  """
  clips = np.asarray(clips, np.float64)
  now, then = clips[:, :-1], clips[:, 1:]
  there = advance(now)
  return float(np.sqrt(np.mean(np.square(then - there)) / np.mean(np.square(there - now))))


def marginals(
  a: Float[np.ndarray, "n frames values"], b: Float[np.ndarray, "m length values"]
) -> list[float]:
  """Wasserstein-1 distance between `a` and `b` in each coordinate, with clips and frames pooled."""
  from scipy.stats import wasserstein_distance  # A slow import (half a second), used only here.

  pooled = (np.asarray(x, np.float64).reshape(-1, x.shape[-1]).T for x in (a, b))
  return [float(wasserstein_distance(x, y)) for x, y in zip(*pooled, strict=True)]


def lyapunov(clips: Float[np.ndarray, "n frames values"], advance, rate: float) -> Float[np.ndarray, "n"]:
  """The finite-time largest Lyapunov exponent along each clip, per second (Benettin et al., 1980).

  A tangent vector is propagated by the dynamics linearised at every frame. Its growth is averaged over the
  second half of the clip, when it has aligned with the fastest-growing direction.
  """
  clips = np.asarray(clips, np.float64)
  tangent = np.random.default_rng(0).normal(size=(len(clips), clips.shape[-1]))
  growth = []
  for frame in range(clips.shape[1] - 1):
    tangent = tangent / np.linalg.norm(tangent, axis=1, keepdims=True)
    state = clips[:, frame]
    tangent = (advance(state + _NUDGE * tangent) - advance(state - _NUDGE * tangent)) / (2 * _NUDGE)
    growth.append(np.log(np.linalg.norm(tangent, axis=1)))
  return rate * np.mean(growth[len(growth) // 2 :], 0)


def _score(
  clips: np.ndarray, wanted: dict[str, np.ndarray], other: np.ndarray, source, sense
) -> dict[str, Any]:
  read = source.read({sense.name: clips})
  distances = marginals(clips, other)
  rates = lyapunov(clips, source.advance, sense.rate)
  each = {name: float(np.mean(read[name] == wanted[name])) for name in wanted}
  return {
    "defect": defect(clips, source.advance),
    "marginals": float(np.mean(distances)),
    "marginals_each": dict(zip(sense.channels, distances, strict=True)),
    "caption": float(np.mean(np.all([read[name] == wanted[name] for name in wanted], 0))),
    "caption_each": each,
    "lyapunov": float(rates.mean()),
    "lyapunov_error": float(rates.std(ddof=1) / np.sqrt(len(rates))),
    "clipped": float(np.mean(np.abs(clips) >= 1)),
  }


def evaluate_dynamics(model, clips: int = 512, seed: int = 0, **overrides) -> tuple[dict[str, Any], Clip]:
  """Generates clips for the captions of test clips, and compares the trajectories with the dynamics.

  Args:
    model: a `stale_jax.Model` of a source with known dynamics.
    clips: number of clips, at least 2.
    seed: seed of the first clip; each further clip adds 1.
    **overrides: settings of `Sampling`.

  Returns:
    The scores, and the generated clips. The scores are
    defect: see `defect`; defect_shuffled: the defect of real clips with their frames shuffled.
    marginals: mean over coordinates of the distance to real test clips, see `marginals`; marginals_each: the
      distance in each coordinate.
    caption: share of clips whose labels all match the caption; caption_each: by label.
    lyapunov: mean of `lyapunov` over clips; lyapunov_error: its standard error over these clips.
    clipped: share of values at or beyond the ends of [-1, 1].
    clips: number of clips.
    real: the same scores of as many real training clips, without defect_shuffled.

  Raises:
    UserError: the dynamics of the source are not known, clips have several senses, or `clips` is below 2.
  """
  source = model.system.data.source
  if source.kind != "trajectories" or len(model.system.data.senses) != 1:
    raise UserError("the suite 'dynamics' needs a source whose dynamics are known, such as 'lorenz'.")
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  (sense,) = model.system.data.senses
  examples = [dataclasses.replace(source, split="test")[i] for i in range(clips)]
  test, labels = _stack(examples, sense)
  train, train_labels = _stack([dataclasses.replace(source, split="train")[i] for i in range(clips)], sense)
  seeds = [seed + i for i in range(clips)]
  clip = finite(jax.device_get(model.sample([e["caption"] for e in examples], seeds, **overrides)))
  order = np.random.default_rng(0).permuted(np.tile(np.arange(test.shape[1]), (clips, 1)), axis=1)
  shuffled = np.take_along_axis(test, order[..., None], 1)
  return {
    **_score(clip[sense.name], labels, test, source, sense),
    "defect_shuffled": defect(shuffled, source.advance),
    "clips": clips,
    "real": _score(train, train_labels, test, source, sense),
  }, clip


def _stack(examples, sense) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  values = np.stack([e["clip"][sense.name] for e in examples])
  return values, {name: np.array([e["labels"][name] for e in examples]) for name in examples[0]["labels"]}
