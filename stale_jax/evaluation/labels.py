"""The suite `labels`: how well a model's own label scores classify held-out clips at several noise levels."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from stale_jax.clip import Clip, Context
from stale_jax.compilation import OnMesh
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.evaluation.needs import without_bias
from stale_jax.mesh import on_host
from stale_jax.models import scores
from stale_jax.objectives import hinge, targets
from stale_jax.processes import corrupt
from stale_jax.text import tokenize

ABOUT = {
  "accuracy": "share of real test clips whose label gets the highest score, mean over five noise levels"
}
TIMES = (0.05, 0.25, 0.5, 0.75, 0.95)


@functools.cache
def _scorer(network, process):
  """Returns a function that corrupts clips and scores their labels; it is compiled once per shape."""

  @OnMesh
  def run(params, clip, t, seed):
    x_t = {name: c.x_t for name, c in corrupt(process, clip, t, jax.random.key(seed)).items()}
    text = jnp.asarray(tokenize([""] * len(t), network.text_length))
    return scores(network, params, x_t, t, Context(text=text))

  return run


def score(model, clip: Clip, t: float, seed: int = 0) -> Float[np.ndarray, "n labels"]:
  """Corrupts clips to time `t` and scores their labels, without their captions.

  Args:
    model: a `stale_jax.Model` trained with `cringe`.
    clip: clean clips, sense -> [n, frames, *shape].
    t: time of all frames, in [0, 1].
    seed: seed of the noise.

  Returns:
    The score of each class of each label, in the order of the source's labels.

  Raises:
    UserError: the model was trained without labels.
  """
  network = model.system.network
  if not network.labels:
    raise UserError("this model does not score labels: train it with the config section 'cringe'.")
  times = np.full(next(iter(clip.values())).shape[:2], t, np.float32)
  return on_host(_scorer(network, model.system.diffusion.process)(model.params, clip, times, seed))


def reward(
  model,
  clip: Clip,
  labels: Mapping[str, Int[np.ndarray, "n"]],
  times: Sequence[float] = (0.05, 0.25, 0.5),
  seed: int = 0,
) -> Float[np.ndarray, "n"]:
  """How well each clip shows its labels: minus the hinge loss of its scores, averaged over noise levels.

  The best reward is 0, where every margin is met. The noise depends on the seed and not on the labels, so the
  rewards of one clip under different labels can be paired.

  Args:
    model: a `stale_jax.Model` trained with `cringe`.
    clip: clean clips, sense -> [n, frames, *shape].
    labels: name -> class; -1 or a missing name is ignored.
    times: noise levels at which the clips are scored.
    seed: seed of the noise.
  """
  target = targets(labels, model.system.data.source.labels)
  hinges = [hinge(score(model, clip, t, seed), target) for t in times]
  return -np.mean(jax.device_get(hinges), 0)


def evaluate_labels(model, clips: int = 480, seed: int = 0) -> tuple[dict[str, Any], None]:
  """Scores real held-out clips at each of TIMES, without their captions.

  Args:
    model: a `stale_jax.Model` trained with `cringe`.
    clips: number of clips, at least 2.
    seed: seed of the clips and of the noise.

  Returns:
    The scores, and None in place of clips. For each label the scores are
    accuracy/NAME: share of labelled clips whose highest score belongs to one of their classes, mean over
      TIMES.
    hinge/NAME: mean over clips and TIMES of the balanced hinge loss of the label's scores
      (`objectives.hinge`); 1 if all scores are 0.
    chance/NAME: 1 / classes.
    at: time -> accuracy/NAME and hinge/NAME at this time, and accuracy_error/NAME and hinge_error/NAME, their
      standard errors over clips, for this one model.

  Raises:
    UserError: the model was trained without labels, its source has no test split, or `clips` is below 2.
  """
  without_bias('the suite "labels"', model.system)
  experiment = model.system
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  clip, labels = held_out_clips(experiment, clips, seed)
  result, start, at = {"clips": clips}, 0, {str(t): {} for t in TIMES}
  by_time = {t: score(model, clip, t, seed) for t in TIMES}
  for name, count in experiment.data.source.labels.items():
    known = (labels[name] > 0).any(-1)
    label, result[f"chance/{name}"] = labels[name][known], 1 / count
    for t, all_scores in by_time.items():
      part = all_scores[known, start : start + count]
      values = {
        "accuracy": label[np.arange(len(label)), part.argmax(-1)] > 0,
        "hinge": np.asarray(hinge(part, targets({name: label}, {name: count}))),
      }
      for kind, each in values.items():
        at[str(t)][f"{kind}/{name}"] = float(each.mean())
        at[str(t)][f"{kind}_error/{name}"] = float(each.std() / np.sqrt(len(each)))
    for kind in ("accuracy", "hinge"):
      result[f"{kind}/{name}"] = float(np.mean([scores_at[f"{kind}/{name}"] for scores_at in at.values()]))
    start += count
  return {**result, "at": at}, None


def held_out_clips(experiment, clips: int, seed: int) -> tuple[Clip, dict[str, Int[np.ndarray, "n classes"]]]:
  """The first `clips` clips of the test split and their labels; a source with a seed takes `seed`."""
  source = experiment.data.source.test_split(seed)
  examples = [source[i] for i in range(clips)]
  batch = collate(examples, experiment.data.senses, experiment.network.text_length, source.labels)
  return batch.clip, batch.labels
