"""Zero-shot classification of clips by prompts (Diffusion Classifier; no training)."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from stale_jax.checks import check_generates, check_prompts, keys_of
from stale_jax.clip import Clip, Context, Sense
from stale_jax.compilation import batches, compiled
from stale_jax.errors import UserError
from stale_jax.evaluation.calibration import softmin
from stale_jax.evaluation.needs import without_bias
from stale_jax.fields import check_fields, number
from stale_jax.mesh import on_host
from stale_jax.pipeline import Model
from stale_jax.processes import Process, corrupt, named_keys
from stale_jax.sampling import prior
from stale_jax.text import tokenize

_ROWS = 16  # Of a batch. Every stage fills up its last batch, so that one program serves all.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier:
  """Settings of a classification.

  Attributes:
    times: number of noise levels that have been evaluated after each stage, increasing.
    keep: share of the prompts that remain after each stage but the last; at least two prompts remain.
    interval: the noise levels are spread evenly over this interval.
    temperature: divides the errors in the posterior. The default was fitted on clips of digits, seen without
      their other senses (the claim `diffusion_classifier_slow`); it depends on the data and on the prompts.
  """

  times: tuple[int, ...] = (2, 4, 16)
  keep: tuple[float, ...] = (0.4, 0.2)
  interval: tuple[float, float] = number((0.6, 0.95), least=0, most=1)
  temperature: float = number(1.9e-3, above=0)

  def __post_init__(self):
    check_fields(self, "classification")
    (start, stop), stages = self.interval, self.times
    if start >= stop:
      raise UserError(f"classification.interval={self.interval}: the first number must be the smaller.")
    if not stages or min(stages) < 1 or sorted(set(stages)) != list(stages):
      raise UserError(f"classification.times={stages}: give increasing numbers, at least 1.")
    if len(self.keep) != len(stages) - 1 or not all(0 < share <= 1 for share in self.keep):
      raise UserError(
        f"classification.keep={self.keep}: give {len(stages) - 1} shares in (0, 1], one between two stages."
      )

  @property
  def levels(self) -> Float[np.ndarray, "levels"]:
    """The noise levels in the order of their evaluation: each prefix is spread evenly over the interval.

    They are the van der Corput sequence in base 2, in the middle of cells as wide as the finest spacing.
    """
    count, (start, stop) = self.times[-1], self.interval
    bits = max(1, (count - 1).bit_length())
    reversed_bits = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(count)]
    return start + (stop - start) * (np.array(reversed_bits) + 0.5) / 2**bits

  def kept(self, prompts: int) -> list[int]:
    """The number of `prompts` that remain after each stage but the last."""
    return [min(prompts, max(2, round(share * prompts))) for share in self.keep]


class Posterior(NamedTuple):
  """What the prompts explain of each clip.

  Attributes:
    probabilities: posterior over the prompts, under equal prior probabilities.
    gaps: mean error of each prompt minus that of the best prompt, over the noise levels at which the prompt
      was evaluated; 0 for the best prompt.
    levels: number of noise levels at which each prompt was evaluated.
  """

  probabilities: Float[np.ndarray, "clips prompts"]
  gaps: Float[np.ndarray, "clips prompts"]
  levels: Int[np.ndarray, "clips prompts"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ErrorProgram:
  """The program that computes errors of the denoiser, compiled once per shape.

  Attributes:
    network, process: parts of the model.
    absent: senses that the clips lack.
  """

  network: Any
  process: Process
  absent: tuple[Sense, ...]

  def run(
    self, params: Any, clip: Clip, context: Context, t: Float[Array, "rows"], keys: Key[Array, "rows"]
  ) -> Float[Array, "rows"]:
    frames = next(iter(clip.values())).shape[1]
    times = jnp.broadcast_to(t[:, None], (len(t), frames))
    corruption = corrupt(self.process, clip, times, keys)
    x_t = {name: c.x_t for name, c in corruption.items()}
    x_t |= prior(self.process, self.absent, frames, named_keys(keys, "absent"))
    output = self.network.apply(params, x_t, times, context)
    losses = [self.process.loss(output[name], c, times) for name, c in corruption.items()]
    return sum(jnp.mean(x, range(1, x.ndim)) for x in losses) / len(losses)


def denoising_errors(
  model: Model,
  clip: Clip,
  rows: Int[np.ndarray, "rows"],
  prompts: Sequence[str],
  t: Float[np.ndarray, "rows"],
  keys: Key[Array, "rows"],
) -> Float[np.ndarray, "rows"]:
  """The error of the denoiser's output for noised clips, each given a prompt.

  The error is `Process.loss` without the weights of the training: for flows the squared error of the
  velocity. It is averaged over the values of a sense, then over the senses of `clip`. For a Gaussian process
  it is a term of the evidence lower bound, up to its weight. For the uniform and the reflected process it is
  not, but it is a squared error whose minimum over all functions of x_t and the caption is a conditional
  expectation. So with an exact denoiser, the captions under which clips were drawn have the lowest expected
  error.

  Senses that the model knows and `clip` lacks are noise from the prior, at every t. A network that was
  trained with all senses hardly uses the caption without their tokens.

  Args:
    model: the model.
    clip: sense -> clean clips, [clips, frames, *shape].
    rows: the clip of each row.
    prompts: the prompt of each row.
    t: time of all frames, one per row.
    keys: keys of the noise, one per row.
  """
  system = model.system
  known = {
    sense.name: sense.on(clip[sense.name].shape[2:]) for sense in system.data.senses if sense.name in clip
  }
  absent = tuple(sense for sense in system.data.senses if sense.name not in known)
  program = _ErrorProgram(network=system.network, process=system.diffusion.process, absent=absent)
  text, parts = tokenize(list(prompts), system.network.text_length), []
  for batch in batches(len(rows), _ROWS):
    some = {name: np.asarray(clip[name][rows[batch]], np.float32) for name in known}
    context = Context(text=jnp.asarray(text[batch]))
    t_of_batch = jnp.asarray(t[batch], jnp.float32)
    arguments = (model.params, some, context, t_of_batch, keys[batch])
    parts.append(on_host(compiled(_ErrorProgram.run)(program, *arguments)))
  return np.concatenate(parts)[: len(rows)].astype(np.float64)


def classify(
  model: Model,
  clip: Clip,
  prompts: Sequence[Sequence[str]],
  seeds: Sequence[int],
  classifier: Classifier | None = None,
) -> Posterior:
  """Finds the prompt that best explains each clip.

  The Diffusion Classifier (arXiv 2303.16203, algorithms 1 and 2): the clip is noised to several noise levels,
  and denoised given each prompt. All prompts of a clip share the same pairs of noise level and noise, which
  makes their differences far less noisy. After each stage only the prompts with the lowest mean errors
  remain. Guidance is not used: it would replace the conditional expectation.

  All frames of a clip have the same noise level, also for a model that was trained with independent levels.

  The posterior is exp(-gap / temperature), normalised. The gap of a prompt compares it with the best prompt
  at the noise levels at which both were evaluated. It is 0 or more, because the best prompt remained when the
  other did not.

  Args:
    model: a model that denoises all frames of a clip together.
    clip: sense -> [clips, frames, *shape], in [-1, 1]; senses that the model knows, all or some.
    prompts: the prompts of each clip, as many for every clip.
    seeds: seeds of the noise, one per clip. A posterior depends only on its clip, prompts and seed.
    classifier: settings; default: `Classifier()`.

  Raises:
    UserError: a prompt is invalid, there are too few, or the model cannot classify.
  """
  check_classifies(model)
  classifier = classifier or Classifier()
  clips, count = len(prompts), len(prompts[0])
  for texts in prompts:
    check_prompts(model.system, texts, model.name)
  if count < 2 or len({len(texts) for texts in prompts}) > 1 or len(seeds) != clips:
    raise UserError("a classification needs two or more prompts, as many for each clip, and a seed per clip.")
  clip, keys = model.system.data.source.encode(clip), keys_of(seeds)
  levels = classifier.levels
  errors = np.full((clips, count, len(levels)), np.nan)
  alive, start = np.tile(np.arange(count), (clips, 1)), 0
  for stop, kept in zip(classifier.times, [*classifier.kept(count), 1], strict=True):
    of_clip, prompt, level = (
      x.ravel()
      for x in np.broadcast_arrays(np.arange(clips)[:, None, None], alive[..., None], np.arange(start, stop))
    )
    keys_of_rows = jax.vmap(jax.random.fold_in)(keys[of_clip], jnp.asarray(level))
    texts = [prompts[i][p] for i, p in zip(of_clip, prompt, strict=True)]
    errors[of_clip, prompt, level] = denoising_errors(
      model, clip, of_clip, texts, levels[level], keys_of_rows
    )
    mean = np.take_along_axis(errors, alive[..., None], 1)[..., :stop].mean(-1)
    alive = np.take_along_axis(alive, np.argsort(mean, -1, kind="stable")[:, :kept], 1)
    start = stop
  best = np.take_along_axis(errors, alive[..., None], 1)
  gaps = np.nanmean(errors - best, -1)
  evaluated = np.isfinite(errors).sum(-1)
  return Posterior(softmin(gaps, classifier.temperature), gaps, evaluated)


def check_classifies(model: Model) -> None:
  """Raises UserError if `model` cannot classify clips."""
  check_generates(model.system, model.name)
  without_bias("classification", model.system)
  if model.system.diffusion.artv:
    raise UserError(f"{model.name} makes one frame at a time and cannot classify clips; use another model.")
