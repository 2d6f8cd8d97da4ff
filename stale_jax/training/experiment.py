"""An experiment: a system, and how it is trained."""

import dataclasses

from stale_jax.mesh import MeshShape
from stale_jax.objectives import Reconstruction, Total
from stale_jax.system import System
from stale_jax.training.ema import Ema
from stale_jax.training.optimizer import AdamW
from stale_jax.training.settings import TrainingSettings
from stale_jax.training.steps.train_step import StepSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
  """How a system is trained.

  Attributes:
    seed: of everything drawn.
    settings: how long, and how often it logs and saves.
    objective: what is minimised; of a student, what its critic minimises.
    step: which kind of training, and its settings.
    optimizer: turns gradients into updates.
    ema: moving averages of the parameters.
    mesh: how the devices are laid out.
  """

  seed: int
  settings: TrainingSettings
  objective: Total | Reconstruction
  step: StepSettings
  optimizer: AdamW
  ema: Ema
  mesh: MeshShape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(System):
  """A config, built.

  Attributes:
    training: how the system is trained.
  """

  training: Training
