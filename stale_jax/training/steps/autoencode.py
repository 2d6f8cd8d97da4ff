"""Training of an autoencoder by gradient descent on the reconstruction loss."""

import dataclasses

from jaxtyping import PRNGKeyArray

from stale_jax.clip import Batch
from stale_jax.training.initial import initializer
from stale_jax.training.steps.descent import Descent, Loss, on_floats
from stale_jax.training.steps.train_step import CLIP


@dataclasses.dataclass(frozen=True, kw_only=True)
class Autoencode:
  """Settings of the training of an autoencoder: there are none besides those of every kind of training."""

  def check(self, experiment) -> None:
    """Accepts every autoencoder."""

  def build(self, experiment) -> Descent:
    """See `StepSettings`."""
    training = experiment.training
    return Descent(
      draw=initializer(experiment),
      loss=self.loss(experiment),
      optimizer=training.optimizer.build(training.settings.steps),
      ema=training.ema,
      needs=frozenset({CLIP}),
      accumulate=training.settings.accumulate,
    )

  def loss(self, experiment) -> Loss:
    """Builds the loss that a step minimises. Reads the statistics of the data that the objective needs."""
    network = experiment.network
    objective = experiment.training.objective.measured(experiment.data.source)

    def loss(params, batch: Batch, key: PRNGKeyArray):
      metrics = objective(network, params, batch, key)
      return metrics["loss"], metrics

    return on_floats(loss)
