"""The suite `labels`: what a model's scores say of real clips it has not seen, at several noise levels."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from stale_jax.clip import Clip, Context
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.models import scores
from stale_jax.objectives import hinge, targets
from stale_jax.processes import corrupt
from stale_jax.text import tokenize

# What each kind of score means.
ABOUT = {"accuracy": "share of real test clips, noised to five times, whose label the model itself reads"}
TIMES = (0.05, 0.25, 0.5, 0.75, 0.95)


@functools.cache
def _scorer(network, process):
  """Scores of clips corrupted at one time, compiled once a shape."""

  @jax.jit
  def run(params, clip, t, seed):
    x_t = {name: c.x_t for name, c in corrupt(process, clip, t, jax.random.key(seed)).items()}
    text = jnp.asarray(tokenize([""] * len(t), network.text_length))
    return scores(network, params, x_t, t, Context(text=text))

  return run


def score(model, clip: Clip, t: float, seed: int = 0) -> Float[np.ndarray, "n labels"]:
  """What `model` (a `stale_jax.Model`) scores of clips [n, frames, *shape] that it is shown at time `t`.

  Raises:
    UserError: the model was trained without labels.
  """
  network = model.system.network
  if not network.labels:
    raise UserError("this model scores no labels: train it with the config's section 'cringe'.")
  times = np.full(next(iter(clip.values())).shape[:2], t, np.float32)
  return jax.device_get(_scorer(network, model.system.diffusion.process)(model.params, clip, times, seed))


def reward(
  model,
  clip: Clip,
  labels: Mapping[str, Int[np.ndarray, "n"]],
  times: Sequence[float] = (0.05, 0.25, 0.5),
  seed: int = 0,
) -> Float[np.ndarray, "n"]:
  """How well each clip shows its labels: minus the hinge of its scores, averaged over noise levels.

  0 is the best: every margin met. The noise is the seed's, whatever the labels, so that the
  rewards of one clip under several labels are paired.

  Args:
    model: a `stale_jax.Model` trained with `cringe`.
    clip: clean.
    labels: name -> class; -1, or a name that is not there, does not count.
    times: noise levels at which the clip is looked at.
    seed: of the noise.
  """
  target = targets(labels, model.system.data.source.labels)
  every = [hinge(score(model, clip, t, seed), target) for t in times]
  return -np.mean(jax.device_get(every), 0)


def evaluate_labels(model, clips: int = 480, seed: int = 0) -> tuple[dict[str, Any], None]:
  """Scores real held-out clips at each of TIMES, without their captions.

  Args:
    model: a `stale_jax.Model` trained with `cringe`.
    clips: how many.
    seed: of the clips and of the noise.

  Returns:
    The scores, and no clips. For each label the scores are
    accuracy/NAME: share of clips, of those that are of any class, of whose classes one has the greatest of
    the label's scores, mean over TIMES.
    hinge/NAME: mean over clips and TIMES of the balanced hinge of the label's scores; 1 is what no
    evidence gives.
    chance/NAME: 1 / classes.
    at: time -> the same at that time alone, and accuracy_error/NAME, hinge_error/NAME over clips.

  Raises:
    UserError: the model was trained without labels, or its source holds nothing back for testing.
  """
  experiment = model.system
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  clip, labels = held_out_clips(experiment, clips, seed)
  result, start, at = {"clips": clips}, 0, {str(t): {} for t in TIMES}
  given = {t: score(model, clip, t, seed) for t in TIMES}
  for name, count in experiment.data.source.labels.items():
    known = (labels[name] > 0).any(-1)
    label, result[f"chance/{name}"] = labels[name][known], 1 / count
    for t, every in given.items():
      part = every[known, start : start + count]
      values = {
        "accuracy": label[np.arange(len(label)), part.argmax(-1)] > 0,
        "hinge": np.asarray(hinge(part, targets({name: label}, {name: count}))),
      }
      for what, each in values.items():
        at[str(t)][f"{what}/{name}"] = float(each.mean())
        at[str(t)][f"{what}_error/{name}"] = float(each.std() / np.sqrt(len(each)))
    for what in ("accuracy", "hinge"):
      result[f"{what}/{name}"] = float(np.mean([found[f"{what}/{name}"] for found in at.values()]))
    start += count
  return {**result, "at": at}, None


def held_out_clips(experiment, clips: int, seed: int) -> tuple[Clip, dict[str, Int[np.ndarray, "n classes"]]]:
  """That many clips of the experiment's source that nothing was trained on, and their labels."""
  source = experiment.data.source.test_split(seed)
  examples = [source[i] for i in range(clips)]
  batch = collate(examples, experiment.data.senses, experiment.network.text_length, source.labels)
  return batch.clip, batch.labels
