"""The suite `features`: what a frozen denoiser knows of a clip, by block and noise level.

*Diffusion Models Beat GANs on Image Classification* (arXiv 2307.08702): a clip is noised to a time t, the
activations after a block of the denoiser are averaged over space and time, and a linear probe predicts the
labels from them. The best block and time are chosen on validation clips and reported on test clips.

The denoiser sees the first sense alone, without a caption: other senses, such as the sound of a digit, or the
caption would tell the probe the label. The probe of the clean values of the same sense (`pixels`) is what
features must beat.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from stale_jax.clip import Clip, Context, floats
from stale_jax.compilation import OnMesh, batches
from stale_jax.data import collate
from stale_jax.errors import UserError
from stale_jax.evaluation.linear_probe import best_probe
from stale_jax.evaluation.needs import without_bias
from stale_jax.mesh import on_host
from stale_jax.models.features import features
from stale_jax.processes import corrupt, fold_keys

ABOUT = {
  "accuracy": "share of held-out clips whose label a linear probe reads from the features, at the block "
  "and time that other clips choose",
  "pixels": "the same for a linear probe of the clean values",
  "chance": "1 / classes",
}
TIMES = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95)
_BATCH = 64


class Labelled(NamedTuple):
  """Clean clips of one sense, and their labels.

  Attributes:
    clip: the sense -> [n, frames, *shape].
    text: tokens of the captions.
    index: indices in the source, on which the noise depends.
    labels: name -> which classes each clip belongs to.
  """

  clip: Clip
  text: Int[np.ndarray, "n length"]
  index: Int[np.ndarray, "n"]
  labels: dict[str, Bool[np.ndarray, "n classes"]]

  @property
  def pixels(self) -> Float[np.ndarray, "n values"]:
    """The clean values of each clip."""
    (x,) = self.clip.values()
    return x.reshape(len(x), -1)


class Splits(NamedTuple):
  """The clips that fit the probes, that choose block, time and penalty, and that are reported."""

  train: Labelled
  validation: Labelled
  test: Labelled


def labelled_splits(model, clips: int, seed: int = 0) -> Splits:
  """`clips` clips of the test split, as many other clips for validation, and four times as many to fit.

  Clips for validation are of the training split, like those that fit the probes. A smaller source gives a
  fifth of its clips for validation.

  Raises:
    UserError: the source has no test split or no labels.
  """
  source = model.system.data.source
  if not source.labels:
    raise UserError("the suite 'features' needs a source with labels, such as 'digits'.")
  test = source.test_split(seed)
  known = min(5 * clips, len(source))
  fit = known - known // 5
  return Splits(
    train=_labelled(model, source, range(fit)),
    validation=_labelled(model, source, range(fit, known)),
    test=_labelled(model, test, range(min(clips, len(test)))),
  )


def _labelled(model, source, indices: Sequence[int]) -> Labelled:
  system = model.system
  sense = system.data.senses[:1]
  batch = collate([source[i] for i in indices], sense, system.network.text_length, source.labels)
  labels = {name: classes > 0 for name, classes in batch.labels.items()}
  return Labelled(clip=floats(batch.clip), text=batch.context.text, index=batch.index, labels=labels)


@functools.cache
def _reader(network, process, see_captions: bool):
  @OnMesh
  def run(params, clip, t, text, keys):
    (sense,) = clip
    times = jnp.full((len(keys), next(iter(clip.values())).shape[1]), t)
    x_t = {name: c.x_t for name, c in corrupt(process, clip, times, keys).items()}
    context = Context(text=text)
    if not see_captions:
      context = context.drop_condition(jnp.ones(len(keys), bool))
    return features(network, params, x_t, times, context)[sense].astype(jnp.float32).mean((2, 3))

  return run


def pooled_features(
  model, clips: Labelled, t: float, key: PRNGKeyArray, see_captions: bool = False
) -> Float[np.ndarray, "blocks n width"]:
  """Corrupts clips to time `t`, and averages the tokens after each block over space and time.

  Args:
    model: a `stale_jax.Model`.
    clips: the clips.
    t: time of all frames, in [0, 1].
    key: key of the noise. The noise of a clip depends on the key, its index and the time alone.
    see_captions: whether the denoiser sees the captions, which leak the labels.
  """
  keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(clips.index))
  keys = fold_keys(keys, round(t * 1e6))
  run, parts = _reader(model.system.network, model.system.diffusion.process, see_captions), []
  for rows in batches(len(keys), min(_BATCH, len(keys))):
    some = {name: x[rows] for name, x in clips.clip.items()}
    parts.append(on_host(run(model.params, some, np.float32(t), clips.text[rows], keys[rows])))
  return np.concatenate(parts, 1)[:, : len(keys)]


class Sweep(NamedTuple):
  """Accuracies of the probes of one label; the validation clips choose the penalty of each probe."""

  validation: Float[np.ndarray, "blocks times"]
  test: Float[np.ndarray, "blocks times"]

  @property
  def best(self) -> tuple[int, int]:
    """Block and time, as indices, with the highest accuracy on the validation clips."""
    block, time = np.unravel_index(self.validation.argmax(), self.validation.shape)
    return int(block), int(time)


def sweep(
  model, splits: Splits, times: Sequence[float] = TIMES, seed: int = 0, see_captions: bool = False
) -> dict[str, Sweep]:
  """Label -> accuracies of the probes after every block at every time; see `pooled_features`."""
  keys = jax.random.split(jax.random.key(seed), len(splits))
  columns: dict[str, list] = {name: [] for name in splits.train.labels}
  for t in times:
    by_split = [
      pooled_features(model, clips, t, key, see_captions) for clips, key in zip(splits, keys, strict=True)
    ]
    for name, column in columns.items():
      column.append([probe_label(splits, name, blocks) for blocks in zip(*by_split, strict=True)])
  return {
    name: Sweep(*np.moveaxis(np.array(column), 0, -1).swapaxes(0, 1)) for name, column in columns.items()
  }


def probe_label(
  splits: Splits, name: str, inputs: Sequence[Float[np.ndarray, "_ width"]]
) -> tuple[float, float]:
  """Fits probes of the label `name` to the inputs of the training clips.

  Args:
    splits: the clips. Those whose label is unknown are left out.
    name: the label.
    inputs: what the probes read, one array for each of `splits`.

  Returns:
    Accuracies on the validation clips and on the test clips.
  """
  parts = []
  for x, part in zip(inputs, splits, strict=True):
    known = part.labels[name].any(-1)
    parts.append((np.asarray(x, np.float64)[known], part.labels[name][known]))
  train, validation, test = parts
  probe, accuracy = best_probe(train, validation)
  return accuracy, probe.accuracy(*test)


def evaluate_features(
  model, clips: int = 512, seed: int = 0, times: Sequence[float] = TIMES
) -> tuple[dict[str, Any], None]:
  """Probes every block at every time, for every label of the source.

  Args:
    model: a `stale_jax.Model`.
    clips: number of test clips, and of validation clips; see `labelled_splits`.
    seed: seed of the test clips and of the noise.
    times: noise levels, in [0, 1].

  Returns:
    The scores, and None in place of clips. For each label the scores are
    accuracy/NAME: accuracy on the test clips at the block and time that are best on the validation clips.
    pixels/NAME: accuracy of the same probe of the clean values.
    chance/NAME: 1 / classes.
    best: NAME -> this block and this time.
    grid: NAME -> accuracy on the test clips, [blocks, times].
    times, clips, train_clips: how it was measured.

  Raises:
    UserError: the source has no labels or no test split, or `clips` is below 2.
  """
  without_bias('the suite "features"', model.system)
  if clips < 2:
    raise UserError(f"clips={clips}: at least 2 are needed.")
  splits = labelled_splits(model, clips, seed)
  pixels = [part.pixels for part in splits]
  scores: dict[str, Any] = {}
  for name, found in sweep(model, splits, times, seed).items():
    block, time = found.best
    scores[f"accuracy/{name}"] = float(found.test[block, time])
    scores[f"pixels/{name}"] = probe_label(splits, name, pixels)[1]
    scores[f"chance/{name}"] = 1 / splits.train.labels[name].shape[1]
    scores.setdefault("best", {})[name] = {"block": block, "time": times[time]}
    scores.setdefault("grid", {})[name] = found.test.round(4).tolist()
  how = {"times": list(times), "clips": len(splits.test.index), "train_clips": len(splits.train.index)}
  return {**scores, **how}, None


def maps(scores: dict[str, Any]) -> dict[str, Any]:
  """Arguments of `media.heat_maps`: a map of the test accuracies of each label, its best cell framed."""
  times = scores["times"]
  return {
    "grids": {name: np.array(grid) for name, grid in scores["grid"].items()},
    "best": {name: (cell["block"], times.index(cell["time"])) for name, cell in scores["best"].items()},
    "row": "block",
    "columns": [f"{t:g}" for t in times],
    "axis": "noise level t",
  }
