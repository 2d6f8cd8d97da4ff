"""The ordinary training of a denoiser: corrupt, predict, compare, update."""

import dataclasses
import zlib
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from stale_jax.clip import Batch
from stale_jax.errors import UserError
from stale_jax.models import Transformer, scored
from stale_jax.objectives import (
  Artv,
  ConditionCorruption,
  FirstFrames,
  MessUp,
  Objective,
  forget,
  masked,
  predict,
)
from stale_jax.processes import Process, TimeSampler
from stale_jax.training.initial import initializer
from stale_jax.training.steps.descent import Descent, Loss, on_floats
from stale_jax.training.steps.train_step import CLIP, LABELS, MICRO


@dataclasses.dataclass(frozen=True, kw_only=True)
class Denoise:
  """Settings of the ordinary training of a denoiser.

  Attributes:
    messup: how the network's inputs are made worse than those of sampling.
    corruption: how wrong the conditions are.
  """

  messup: MessUp = MessUp()
  corruption: ConditionCorruption = ConditionCorruption()

  def check(self, experiment) -> None:
    """Accepts every denoiser."""

  def build(self, experiment) -> Descent:
    """See `StepSettings`."""
    if experiment.network.forms == "hard":
      raise UserError("model.forms=hard is for sampling, and its gates learn nothing: train with concrete.")
    training = experiment.training
    return Descent(
      draw=initializer(experiment),
      loss=self.loss(experiment),
      optimizer=training.optimizer.build(training.settings.steps, experiment.network.declared),
      ema=training.ema,
      needs=frozenset({CLIP, MICRO} | ({LABELS} if experiment.network.labels else set())),
      accumulate=training.settings.accumulate,
    )

  def loss(self, experiment) -> Loss:
    """What a step minimises. Reads the statistics of the data that the objective needs."""
    diffusion, training = experiment.diffusion, experiment.training
    loss = DenoisingLoss(
      network=experiment.network,
      process=diffusion.process,
      time_sampler=diffusion.time_sampler,
      objective=training.objective.measured(experiment.data.source),
      condition_dropout=training.settings.caption_dropout,
      messup=self.messup,
      corruption=self.corruption,
      given_frames=diffusion.artv or diffusion.first,
    )
    return on_floats(loss)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoisingLoss:
  """(params, batch, key) -> (loss, metrics).

  Attributes:
    network: the denoiser.
    process: the noising law.
    time_sampler: of the times that clips are noised to.
    objective: what judges the network's answer.
    condition_dropout: the share of examples without a caption, for classifier-free guidance; each
      micro-condition, by itself, is unknown in as many.
    messup, corruption: see `Denoise`.
    given_frames: which frames of a clip are given.
  """

  network: Transformer
  process: Process
  time_sampler: TimeSampler
  objective: Objective
  condition_dropout: float
  messup: MessUp = MessUp()
  corruption: ConditionCorruption = ConditionCorruption()
  given_frames: FirstFrames | Artv = FirstFrames()

  def __call__(self, params, batch: Batch, key: PRNGKeyArray) -> tuple[jax.Array, dict[str, Any]]:
    key_drop, key_predict = jax.random.split(key)
    # Keys by name, so that a feature that is off changes no other draw.
    key_swap, key_noise, key_inside, key_first = (
      jax.random.fold_in(key, zlib.crc32(name)) for name in (b"swap", b"noise", b"perturb", b"first")
    )
    batch = batch.replace(context=self.corruption.swap(batch.context, key_swap))
    dropped = jax.random.uniform(key_drop, batch.index.shape) < self.condition_dropout
    context = forget(batch.context.drop_condition(dropped), self.network.micro, self.condition_dropout, key)
    batch = batch.replace(context=context)
    held, batch, judged = self.given_frames.give(batch, key_first)
    denoiser = self._denoiser(params, batch, {"perturb": key_inside})
    shown = self.messup.perturb(denoiser, self.process, key_noise)
    prediction = predict(
      shown, self.process, self.time_sampler, batch, key_predict, says_more=True, held=held
    )
    metrics = self.objective(prediction, judged)
    return metrics["loss"], metrics

  def _denoiser(self, params, batch: Batch, rngs):
    """(clip, times, context) -> (outputs, the other fields of a `Prediction` that the network has)."""
    network = self.network

    def denoiser(clip, t, context):
      if network.mask:
        given = {name: x[:, :-1] for name, x in batch.clip.items()}
        output, mask = masked(network, params, clip, t, context, given, rngs)
        return output, {"mask": mask}
      if network.labels:
        output, scores = scored(network, params, clip, t, context, rngs)
        return output, {"scores": scores}
      return network.apply(params, clip, t, context, rngs=rngs), {}

    return denoiser
