"""Ordinary training of a denoiser: noise a clip, predict the clean clip, descend the gradient of the loss."""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from stale_jax.clip import Batch
from stale_jax.errors import UserError
from stale_jax.models import scored
from stale_jax.models.parameters import draw
from stale_jax.objectives import (
  Artv,
  ConditionCorruption,
  FirstFrames,
  MessUp,
  Objective,
  forget,
  kept_encoders,
  masked,
  predict,
)
from stale_jax.processes import Process, TimeSampler
from stale_jax.training.initial import initializer
from stale_jax.training.steps.adapt import AdapterDescent
from stale_jax.training.steps.descent import Descent, Loss, on_floats
from stale_jax.training.steps.train_step import CLIP, LABELS, MICRO, TrainStep

_PENALTY = 0.05  # Weight of the mean square of the relation, in models with a bias of context.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Denoise:
  """Settings of the ordinary training of a denoiser.

  Attributes:
    messup: corruption of the network's inputs, on top of the process's noise.
    corruption: corruption of the conditions.
  """

  messup: MessUp = MessUp()
  corruption: ConditionCorruption = ConditionCorruption()

  def check(self, experiment) -> None:
    """See `StepSettings`."""
    shares = experiment.training.settings.encoder_dropout
    if any(shares) and not experiment.network.word_buckets:
      raise UserError(
        f"training.encoder_dropout={shares} needs two text encoders: set model.word_buckets=1024."
      )

  def build(self, experiment) -> TrainStep:
    """See `StepSettings`."""
    if experiment.network.forms == "hard":
      raise UserError(
        "model.forms=hard is for sampling: its gates have no gradient. To train, set model.forms=concrete."
      )
    training, declared = experiment.training, experiment.network.declared
    draw_network, adapter = initializer(experiment), training.adapter
    trained = declared if adapter is None else adapter.declare(declared)
    descent = Descent(
      draw=draw_network if adapter is None else functools.partial(draw, trained),
      loss=self.loss(experiment),
      optimizer=training.optimizer.build(training.settings.steps, trained),
      ema=training.ema,
      needs=frozenset({CLIP, MICRO} | ({LABELS} if experiment.network.labels else set())),
      accumulate=training.settings.accumulate,
    )
    if adapter is None:
      return descent
    return AdapterDescent(descent=descent, adapter=adapter, draw_base=draw_network)

  def loss(self, experiment) -> Loss:
    """Builds the loss that a step minimises. Reads the statistics of the data that the objective needs."""
    diffusion, training = experiment.diffusion, experiment.training
    loss = DenoisingLoss(
      network=experiment.network,
      process=diffusion.process,
      time_sampler=diffusion.time_sampler,
      objective=training.objective.measured(experiment.data.source),
      condition_dropout=training.settings.caption_dropout,
      encoder_dropout=training.settings.encoder_dropout,
      messup=self.messup,
      corruption=self.corruption,
      conditioning=diffusion.artv or diffusion.first,
      relate=experiment.network.relate if experiment.network.relation_width else None,
    )
    return on_floats(loss)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoisingLoss:
  """The loss of a denoiser: (params, batch, key) -> (loss, metrics).

  Attributes:
    network: the denoiser.
    process: the noising process.
    time_sampler: draws the times that clips are noised to.
    objective: the loss of a `Prediction`.
    condition_dropout: the share of examples without a caption, for classifier-free guidance. Each
      micro-condition is dropped independently, in the same share of examples.
    encoder_dropout: the share of examples that each text encoder does not read.
    messup, corruption: see `Denoise`.
    conditioning: draws the frames that condition the others.
    relate: the relation that shifts the noised clips, (params, clip, context) -> h; None for no bias.
  """

  network: Any
  process: Process
  time_sampler: TimeSampler
  objective: Objective
  condition_dropout: float
  encoder_dropout: tuple[float, float] = (0.0, 0.0)
  messup: MessUp = MessUp()
  corruption: ConditionCorruption = ConditionCorruption()
  conditioning: FirstFrames | Artv = FirstFrames()
  relate: Callable | None = None

  def __call__(self, params, batch: Batch, key: PRNGKeyArray) -> tuple[jax.Array, dict[str, Any]]:
    key_drop, key_predict = jax.random.split(key)
    # Keys are folded by name, so that enabling a feature does not change the draws of the others.
    key_swap, key_noise, key_inside, key_first, key_encoders = (
      jax.random.fold_in(key, zlib.crc32(name))
      for name in (b"swap", b"noise", b"perturb", b"first", b"encoders")
    )
    batch = batch.replace(context=self.corruption.swap(batch.context, key_swap))
    dropped = jax.random.uniform(key_drop, batch.index.shape) < self.condition_dropout
    encoders = None
    if any(self.encoder_dropout):
      encoders = kept_encoders(self.encoder_dropout, len(dropped), key_encoders)
      dropped |= ~encoders.any(-1)
    context = batch.context.drop_condition(dropped).replace(encoders=encoders)
    batch = batch.replace(context=forget(context, self.network.micro, self.condition_dropout, key))
    conditioning, batch, loss_batch = self.conditioning.condition(batch, key_first)
    denoiser = self._denoiser(params, batch, {"perturb": key_inside})
    denoiser = self.messup.perturb(denoiser, self.process, key_noise)
    relate = self.relate and functools.partial(self.relate, params)
    more = {"has_aux": True, "conditioning": conditioning, "relate": relate}
    prediction = predict(denoiser, self.process, self.time_sampler, batch, key_predict, **more)
    metrics = self.objective(prediction, loss_batch)
    if relate is None:
      return metrics["loss"], metrics
    loss = metrics["loss"] + _PENALTY * prediction.bias
    return loss, {**metrics, "loss": loss, "bias": jnp.sqrt(prediction.bias)}

  def _denoiser(self, params, batch: Batch, rngs):
    """Returns a function (clip, times, context) -> (outputs, fields of a `Prediction` such as the mask)."""
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
