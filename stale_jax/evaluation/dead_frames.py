"""Searches for dead frames: pictures whose continuations by a model do not move.

An essay on temporal mode collapse describes this experiment: a few prompted solver steps turn noise into a
picture (a glitch), a model continues the glitch, then it continues the last frame of the result, and the
movie slows down and stops. This module measures the slowdown. It then continues pictures of many kinds, and
measures how fast the continuations move and which features of a picture predict their speed.
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

# Solver steps of a glitch: enough for structure to appear, too few for a finished clip.
_GLITCH_STEPS = 2

Pictures = Float[np.ndarray, "pictures height width 3"]


def glitches(model, prompts, seeds) -> Pictures:
  """First frames of unfinished clips, which are sampled with only two solver steps."""
  return model.sample(prompts, seeds, steps=_GLITCH_STEPS)["sight"][:, 0]


def start_pictures(
  model, prompts, seeds, real: Float[np.ndarray, "n frames height width 3"]
) -> dict[str, Pictures]:
  """Pictures to continue, one of each kind per prompt.

  Args:
    model: the model that generates the kinds "made, last" and "glitch".
    prompts, seeds: prompt and seed of each generated clip.
    real: one real clip per prompt, with this caption.

  Returns:
    kind -> pictures in [-1, 1], [prompts, height, width, 3]: the first and last frames of the real clips, the
    last frames of generated clips, glitches, changed versions of the first real frames ("dim", "blurred",
    "half", "upside down"), uniform noise, and black pictures ("blank").
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
  """Continues each picture to a movie; the conditioning frame of every other sense is -1 (no intensity).

  Args:
    model: a `stale_jax.Model` that can continue frames.
    pictures: first frames of the movies, in [-1, 1].
    prompts, seeds: one per picture.
    frames: number of frames to generate after each picture.
    **how: settings of `Rollout` and `Sampling`.

  Returns:
    Sight of the movies, with 1 + `frames` frames: the picture and its continuation.
  """
  count, first = len(pictures), {}
  for sense in model.system.data.senses:
    shape = (count, 1, *model.source.senses[sense.name].shape)
    first[sense.name] = pictures[:, None] if sense.name == "sight" else np.full(shape, -1.0, np.float32)
  parts = [clip["sight"] for clip in model.rollout(prompts, seeds, frames=frames, first=first, **how)]
  return np.concatenate([pictures[:, None], *parts], 1)


def mean_speeds(sight: Float[np.ndarray, "n frames height width 3"]) -> Float[np.ndarray, "n"]:
  """Mean speed of each movie, in pixels per frame, without its first pair of frames, which may be a cut."""
  return np.array(
    [np.mean([frame_motion(a, b).speed for a, b in zip(x[1:-1], x[2:], strict=True)]) for x in sight]
  )


def picture_features(
  pictures: Pictures, real: Float[np.ndarray, "others height width 3"]
) -> dict[str, Float[np.ndarray, "n"]]:
  """Computes features of each picture without a model.

  Args:
    pictures: in [-1, 1].
    real: pictures for the feature "unlike_real". A picture that is one of them is compared with the others.

  Returns:
    feature -> one value per picture:
    luma, contrast: mean and standard deviation of the luma; saturation: see `liveliness`.
    edges: root mean square of the gradient of the luma.
    grey_bits, space_bits: see `entropy`.
    off_centre: distance of the centre of light from the middle, where a side of the picture is 1.
    at_the_rim: share of the light in the outermost row or column of pixels on each side.
    unlike_real: rms distance to the nearest picture in `real`; 0 if there is no other picture.
  """
  seen = intensity(pictures)
  light = luma(seen)
  rows, columns = np.indices(light.shape[1:], np.float32)
  weight = light / np.maximum(light.sum((1, 2), keepdims=True), 1e-6)
  middle = np.stack([(weight * axis).sum((1, 2)) / (axis.max()) - 0.5 for axis in (rows, columns)])
  down, right = (np.diff(light, axis=axis) for axis in (1, 2))
  flat, others = pictures.reshape(len(pictures), -1), real.reshape(len(real), -1)
  distance = np.sqrt(np.square(flat[:, None] - others[None]).mean(-1))
  # A distance of 0 is the distance of a picture to itself.
  distance = np.where(distance > 1e-4, distance, np.inf).min(1)
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
    "unlike_real": np.where(np.isinf(distance), 0, distance),
  }


def predicted(features: dict[str, Float[np.ndarray, "n"]], speed: Float[np.ndarray, "n"]) -> dict[str, Any]:
  """Measures how well the features of pictures predict the speed of their continuations.

  Returns:
    r2: share of the variance that a random forest explains on held-out pictures (five-fold cross-validation).
    spearman: feature -> rank correlation with the speed.
  """
  x = np.stack(list(features.values()), 1)
  forest = RandomForestRegressor(200, random_state=0, min_samples_leaf=3)
  guess = cross_val_predict(forest, x, speed, cv=5)
  error, spread = np.square(speed - guess).mean(), speed.var()
  ranks = {
    name: spearmanr(values, speed).statistic if np.ptp(values) else 0.0 for name, values in features.items()
  }
  return {
    "r2": float(1 - error / max(spread, 1e-12)),
    "spearman": {name: round(float(value), 3) for name, value in ranks.items()},
  }


@dataclasses.dataclass(frozen=True)
class Found:
  """Results of `find_dead_frames`. Speeds are in pixels per frame.

  Attributes:
    segments: for each segment of the chain, its `speed`, and its `retention`: the speed divided by the speed
      of the first segment.
    real_speed: mean speed of real clips with the same captions.
    kinds: kind -> for each picture, the `mean` speed of its continuations, and the speed of the fastest one
      (`most`).
    predicted: see the function `predicted`.
    movies: the chains of segments, one movie per glitch, [movies, frames, height, width, 3].
    pictures: all pictures, in the order of `kinds`, [pictures, height, width, 3].
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
  """Generates movies of several segments from glitches, then continues pictures of every kind.

  Each segment of a movie continues the previous one. Each picture has several continuations, with different
  prompts and seeds. A picture is dead if even its fastest continuation moves by less than .1 pixels per
  frame.

  Args:
    model: a `stale_jax.Model` that has sight and can continue given frames.
    count: number of pictures of each kind.
    futures: number of continuations of each picture.
    seed: seed of all random draws.
    segments: number of segments of a movie, each as long as a training clip.
    **how: settings of `Rollout` and `Sampling`; by default the sampler "windows" with one conditioning frame.

  Raises:
    UserError: the model has no sight or cannot continue frames, or a count is too small.
  """
  if count < 2 or futures < 1 or segments < 2:
    raise UserError(f"count={count}, futures={futures}, segments={segments}: at least 2, 1 and 2 are needed.")
  if "sight" not in [sense.name for sense in model.system.data.senses]:
    raise UserError("dead frames need a model of image frames; this model has no sight.")
  how = {"how": "windows", "conditioning_frames": 1, **how}
  test = dataclasses.replace(model.source, split="test")
  examples = [test[seed * 1000 + i] for i in range(count * futures)]
  prompts, seeds = [e["caption"] for e in examples], [seed * 1000 + i for i in range(count * futures)]
  real = np.stack([e["clip"]["sight"] for e in examples])
  real_speed = float(mean_speeds(real).mean())

  start = glitches(model, prompts[:count], seeds[:count])
  movies = go_on(model, start, prompts[:count], seeds[:count], segments * (model.frames - 1), **how)
  first, chain = None, []
  for i in range(segments):
    part = movies[:, i * (model.frames - 1) :][:, : model.frames]
    speed = float(mean_speeds(part).mean())
    first = first or max(speed, STILL)
    chain.append({"speed": speed, "retention": speed / first})

  kinds = start_pictures(model, prompts[:count], seeds[:count], real[:count])
  pictures = np.concatenate(list(kinds.values()))
  runs = []
  for future in range(futures):
    rows = slice(future * count, (future + 1) * count)
    sight = go_on(model, pictures, prompts[rows] * len(kinds), seeds[rows] * len(kinds), model.frames, **how)
    runs.append(mean_speeds(sight))
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
