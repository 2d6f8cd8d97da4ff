"""Whether a figure stays the same: skin, hair and build, which no caption states."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Clip
from stale_jax.data.sources.cartoons.actions import SOLO
from stale_jax.data.sources.cartoons.caption import caption
from stale_jax.data.sources.cartoons.labels import LABELS, Labels, held_out, name
from stale_jax.errors import UserError
from stale_jax.evaluation.cartoons.accuracy import FACTORS, accuracy
from stale_jax.evaluation.cartoons.reader import IDENTITY, Reading, shipped_reader
from stale_jax.evaluation.needs import cartoons_of, finite
from stale_jax.evaluation.rollouts import evaluate_liveliness
from stale_jax.sampling import Story

_CARS = ("to_car", "from_car")


def kept(first: Reading, last: Reading) -> Float[np.ndarray, "n"]:
  """The share of skin, hair and build that is the same in two readings, of each movie."""
  return np.mean([first.labels[factor] == last.labels[factor] for factor in IDENTITY], 0)


def variance(identity: Float[np.ndarray, "panels classes"]) -> float:
  """The variance of skin, hair and build between panels: that of the probabilities of classes, summed."""
  return float(identity.var(0).sum())


def evaluate_identity(
  model, windows: int, clips: int = 6, seed: int = 0, **overrides
) -> tuple[dict[str, Any], Clip]:
  """Makes movies as long as `windows` training clips, and measures whether they live and who is in them.

  Args:
    model: a `stale_jax.Model` trained on cartoons that makes movies of any length.
    windows: length of a movie.
    clips: number of movies.
    seed: seed of the first movie; each further movie adds 1.
    **overrides: settings of `Sampling` and `Rollout`.

  Returns:
    The scores of the suite `liveliness`, with those of real clips of the same length in `real`; and
    `identity`, also in `real`: the share of skins, hairs and builds in the last window that are those in the
    first. Movies of cars do not count. And the first and last windows.

  Raises:
    UserError: as the suite `liveliness`, or the model was not trained on cartoons.
  """
  source = cartoons_of("liveliness", model.source, model.system)
  window, seconds = source.frames, windows * source.frames / source.rate
  scores, ends = evaluate_liveliness(model, clips, seed, seconds=seconds, **overrides)
  test, reader = dataclasses.replace(source, split="test"), shipped_reader()
  figures = np.array([name(test.draw(index)[0], "action") not in _CARS for index in range(clips)])
  long = dataclasses.replace(test, frames=windows * window)
  real = np.stack([long[index]["clip"]["sight"] for index in range(clips)])

  def identity(sight) -> float:
    first, last = (reader(part, source.rate) for part in (sight[:, :window], sight[:, -window:]))
    return float(kept(first, last)[figures].mean())

  result = {**scores, "identity": identity(ends["sight"])}
  return {**result, "real": {**scores["real"], "identity": identity(real)}}, ends


def evaluate_stories(
  model, stories: int = 24, panels: int = 3, seed: int = 0, **overrides
) -> tuple[dict[str, Any], Clip]:
  """Makes stories of one figure that does something else in each panel, with and without shared attention.

  Args:
    model: a `stale_jax.Model` trained on cartoons.
    stories: number of stories.
    panels: number of panels of a story.
    seed: of the stories and of the noise.
    **overrides: settings of `Sampling` and `Rollout`.

  Returns:
    variance: mean over stories of the variance of skin, hair and build between panels, without attention
      between panels (`Story.rate` 0); ratio: that with it, divided by `variance`.
    right: mean accuracy of what captions state, without attention between panels; lost: how much less it is
      with it.
    ratio_error, lost_error: standard errors over stories.
    And the panels with attention between them.

  Raises:
    UserError: the model was not trained on cartoons, or cannot make stories.
  """
  source = cartoons_of("stories", model.source, model.system)
  if stories < 2 or panels < 2:
    raise UserError(f"stories={stories}, panels={panels}: at least 2 are needed.")
  reader, told = shipped_reader(), [_story(panels, seed, number) for number in range(stories)]

  def measured(story: Story):
    variances, right, clips = [], [], []
    for number, labels in enumerate(told):
      seeds = [1000 * seed + panels * number + panel for panel in range(panels)]
      clip = finite(model.sample([caption(one) for one in labels], seeds, story=story, **overrides))
      reading = reader(clip["sight"], source.rate)
      variances.append(variance(reading.identity))
      found = accuracy(labels, reading.labels)
      right.append(np.mean([found[factor] for factor in FACTORS if factor in found]))
      clips.append(clip)
    made = {sense: np.concatenate([clip[sense] for clip in clips]) for sense in clips[0]}
    return np.array(variances), np.array(right), made

  before, right, _ = measured(Story(rate=0.0))
  after, still_right, made = measured(Story())
  least = 1e-6  # Of a variance: panels may be equal without attention.
  ratio, lost = after.mean() / max(before.mean(), least), right - still_right
  return {
    "variance": float(before.mean()),
    "ratio": float(ratio),
    "ratio_error": float(np.std(after - ratio * before) / max(before.mean(), least) / stories**0.5),
    "right": float(right.mean()),
    "lost": float(lost.mean()),
    "lost_error": float(lost.std() / stories**0.5),
    "stories": stories,
  }, made


def _story(panels: int, seed: int, number: int) -> list[Labels]:
  """The labels of the panels of a story: one figure in one place, and different actions."""
  rng = np.random.default_rng([seed, number])
  while True:
    common = {
      f: int(rng.integers(len(LABELS[f]))) for f in ("character", "colour", "scene", "time", "direction")
    }
    common |= {factor: 0 for factor in ("prop", "camera", *IDENTITY)}
    actions = [action for action in SOLO if action not in (*_CARS, "throws")]  # Throws need something.
    chosen = rng.permutation(len(actions))[:panels]
    story = [{**common, "action": LABELS["action"].index(actions[k])} for k in chosen]
    if not any(map(held_out, story)):
      return story
