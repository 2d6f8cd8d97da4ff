"""Is there a dead frame: a picture that holds no future? Pictures scored by the motion a model gives them.

The essay on temporal mode collapse made a picture of noise that was prompted into structure (a glitch), let a
model go on from it, and from the last frame of that again, and saw the movie slow down and stop. Here that is
measured, and then asked of pictures of many kinds: how much do they move, and what about them tells it?
"""

import dataclasses
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_predict

from stale_jax.clip import intensity
from stale_jax.errors import UserError
from stale_jax.evaluation.entropy import grey_bits, space_bits
from stale_jax.evaluation.liveliness import luma, saturation
from stale_jax.evaluation.motion import STILL, frame_motion

# Of the solver, when noise is prompted into structure and no further.
_GLITCH_STEPS = 2

Pictures = Float[np.ndarray, "pictures height width 3"]


def glitches(model, prompts, seeds) -> Pictures:
  """The first frames of clips that were left half made, after two steps from the noise."""
  return model.sample(prompts, seeds, steps=_GLITCH_STEPS)["sight"][:, 0]


def start_pictures(
  model, prompts, seeds, real: Float[np.ndarray, "n frames height width 3"]
) -> dict[str, Pictures]:
  """Pictures to go on from, as many of each kind as there are prompts.

  Args:
    model: whose own last frames and glitches are among them.
    prompts, seeds: of these.
    real: clips of the same captions.
  """
  first, rng = real[:, 0], np.random.default_rng(seeds[0])
  return {
    "real, first": first,
    "real, last": real[:, -1],
    "made, last": model.sample(prompts, seeds)["sight"][:, -1],
    "glitch": glitches(model, prompts, seeds),
    "dim": (0.25 * (first + 1) - 1).astype(np.float32),
    "blurred": np.stack([cv2.GaussianBlur(x, (0, 0), 1.5) for x in first]),
    "half": np.where(np.arange(first.shape[2])[:, None] < first.shape[2] // 2, first, -1.0).astype(
      np.float32
    ),
    "upside down": first[:, ::-1],
    "noise": rng.uniform(-1, 1, first.shape).astype(np.float32),
    "blank": np.full_like(first, -1.0),
  }


def go_on(
  model, pictures: Pictures, prompts, seeds, frames: int, **how
) -> Float[np.ndarray, "n frames h w 3"]:
  """Sight of movies that begin with `pictures`, these in front; of the other senses nothing was there yet."""
  count, first = len(pictures), {}
  for sense in model.system.data.senses:
    shape = (count, 1, *model.source.senses[sense.name].shape)
    first[sense.name] = pictures[:, None] if sense.name == "sight" else np.full(shape, -1.0, np.float32)
  parts = [clip["sight"] for clip in model.rollout(prompts, seeds, frames=frames, first=first, **how)]
  return np.concatenate([pictures[:, None], *parts], 1)


def mean_speeds(sight: Float[np.ndarray, "n frames height width 3"]) -> Float[np.ndarray, "n"]:
  """Pixels a frame, the mean over a movie's pairs of frames but the first, which may be a cut."""
  return np.array(
    [np.mean([frame_motion(a, b).speed for a, b in zip(x[1:-1], x[2:], strict=True)]) for x in sight]
  )


def picture_features(
  pictures: Pictures, real: Float[np.ndarray, "others height width 3"]
) -> dict[str, Float[np.ndarray, "n"]]:
  """What can be said of a picture without a model; `real` are others that it is compared with."""
  seen = intensity(pictures)
  light = luma(seen)
  rows, columns = np.indices(light.shape[1:], np.float32)
  weight = light / np.maximum(light.sum((1, 2), keepdims=True), 1e-6)
  middle = np.stack([(weight * axis).sum((1, 2)) / (axis.max()) - 0.5 for axis in (rows, columns)])
  down, right = (np.diff(light, axis=axis) for axis in (1, 2))
  flat, others = pictures.reshape(len(pictures), -1), real.reshape(len(real), -1)
  apart = np.sqrt(np.square(flat[:, None] - others[None]).mean(-1))
  # Of others, where it is one of them itself.
  apart = np.where(apart > 1e-4, apart, np.inf).min(1)
  return {
    "luma": light.mean((1, 2)),
    "contrast": light.std((1, 2)),
    "saturation": saturation(seen),
    "edges": (np.square(down).mean((1, 2)) + np.square(right).mean((1, 2))) ** 0.5,
    "grey_bits": grey_bits(light),
    "space_bits": space_bits(light),
    "off_centre": np.hypot(*middle),
    "at_the_rim": (light.sum((1, 2)) - light[:, 1:-1, 1:-1].sum((1, 2)))
    / np.maximum(light.sum((1, 2)), 1e-6),
    "unlike_real": np.where(np.isinf(apart), 0, apart),
  }


def predicted(told: dict[str, Float[np.ndarray, "n"]], speed: Float[np.ndarray, "n"]) -> dict[str, Any]:
  """How well the features tell the speed of pictures that were held out, and each one's rank correlation."""
  x = np.stack(list(told.values()), 1)
  forest = RandomForestRegressor(200, random_state=0, min_samples_leaf=3)
  guess = cross_val_predict(forest, x, speed, cv=5)
  error, spread = np.square(speed - guess).mean(), speed.var()
  ranks = {
    name: spearmanr(values, speed).statistic if np.ptp(values) else 0.0 for name, values in told.items()
  }
  return {
    "r2": float(1 - error / max(spread, 1e-12)),
    "spearman": {name: round(float(value), 3) for name, value in ranks.items()},
  }


@dataclasses.dataclass(frozen=True)
class Found:
  """What was found.

  Attributes:
    segments: of the chained glitches, a segment: its speed, and what is kept of the first one's.
    real_speed: of real clips of the same captions.
    kinds: kind -> the speed of each picture, the mean over its futures, and that of the liveliest of these.
    predicted: see `predicted`.
    movies: of the chain, [movies, frames, height, width, 3].
    pictures: all, with their mean speeds, in the order of `kinds`.
  """

  segments: list[dict[str, float]]
  real_speed: float
  kinds: dict[str, dict[str, np.ndarray]]
  predicted: dict[str, Any]
  movies: np.ndarray
  pictures: np.ndarray


def find_dead_frames(
  model, count: int = 16, futures: int = 2, seed: int = 0, segments: int = 3, **how
) -> Found:
  """Chains segments from glitches, then lets every kind of picture go on.

  A picture is dead if the liveliest of its futures, each of another prompt and seed, moves by less than .1
  pixels a frame.

  Args:
    model: a `stale_jax.Model` that sees and goes on from given frames.
    count: pictures of each kind.
    futures: of each picture.
    seed: of everything.
    segments: of the chain, each as long as a clip of training.
    **how: of `Rollout` and `Sampling`; by default the last frame is all that is handed on.

  Raises:
    UserError: a model without sight, or that cannot go on, or too few pictures.
  """
  if count < 2 or futures < 1 or segments < 2:
    raise UserError(f"count={count}, futures={futures}, segments={segments}: 2, 1 and 2 at least are needed.")
  if "sight" not in [sense.name for sense in model.system.data.senses]:
    raise UserError("dead frames are seen, and this model has no sight.")
  how = {"how": "windows", "conditioning_frames": 1, **how}
  test = dataclasses.replace(model.source, split="test")
  examples = [test[seed * 1000 + i] for i in range(count * futures)]
  prompts, seeds = [e["caption"] for e in examples], [seed * 1000 + i for i in range(count * futures)]
  real = np.stack([e["clip"]["sight"] for e in examples])
  real_speed = float(mean_speeds(real).mean())

  begun = glitches(model, prompts[:count], seeds[:count])
  movies = go_on(model, begun, prompts[:count], seeds[:count], segments * (model.frames - 1), **how)
  kept, chain = None, []
  for i in range(segments):
    part = movies[:, i * (model.frames - 1) :][:, : model.frames]
    speed = float(mean_speeds(part).mean())
    kept = kept or max(speed, STILL)
    chain.append({"speed": speed, "retention": speed / kept})

  kinds = start_pictures(model, prompts[:count], seeds[:count], real[:count])
  pictures = np.concatenate(list(kinds.values()))
  runs = []
  for future in range(futures):
    own = slice(future * count, (future + 1) * count)
    asked, drawn = prompts[own] * len(kinds), seeds[own] * len(kinds)
    moved = go_on(model, pictures, asked, drawn, model.frames, **how)
    runs.append(mean_speeds(moved))
  runs = np.stack(runs)
  parts = {name: runs[:, i * count : (i + 1) * count] for i, name in enumerate(kinds)}
  features = picture_features(pictures, real[count:, 0] if futures > 1 else real[:, -1])
  return Found(
    segments=chain,
    real_speed=real_speed,
    kinds={name: {"mean": x.mean(0), "most": x.max(0)} for name, x in parts.items()},
    predicted=predicted(features, runs.mean(0)),
    movies=movies,
    pictures=pictures,
  )
