"""An experiment: a system and the settings of its training."""

import dataclasses

from stale_jax.mesh import MeshShape
from stale_jax.models.adapters import Adapter
from stale_jax.objectives import Reconstruction, Total
from stale_jax.system import System
from stale_jax.training.ema import Ema
from stale_jax.training.optimizer import AdamW
from stale_jax.training.settings import EvaluationSettings, TrainingSettings
from stale_jax.training.steps.train_step import StepSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
  """How a system is trained.

  Attributes:
    seed: seed of all random numbers.
    settings: length of the run, logging and saving.
    evaluation: when and how the averaged weights are evaluated.
    objective: the loss to minimise; in the training of a student, the loss of its critic.
    step: the kind of training and its settings.
    passes: forward passes of a clip that make up the model FLOPs of a step, 3 with the gradient; None if the
      operations of this kind of training are not counted.
    optimizer: settings of the optimizer.
    ema: moving averages of the parameters.
    mesh: the layout of the devices.
    adapter: the adapter to train while the network's parameters stay frozen; None: the network is trained.
  """

  seed: int
  settings: TrainingSettings
  evaluation: EvaluationSettings
  objective: Total | Reconstruction
  step: StepSettings
  optimizer: AdamW
  ema: Ema
  mesh: MeshShape
  passes: int | None = None
  adapter: Adapter | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(System):
  """Everything that a config describes, as objects.

  Attributes:
    training: how the system is trained.
  """

  training: Training
