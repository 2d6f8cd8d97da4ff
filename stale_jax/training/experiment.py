"""An experiment: a system, and how it is trained."""

import dataclasses
from typing import Any

from stale_jax.mesh import MeshShape
from stale_jax.objectives import ConditionCorruption, MessUp
from stale_jax.system import System
from stale_jax.training.ema import Ema
from stale_jax.training.settings import Training as Settings
from stale_jax.training.steps.nft import GRPO
from stale_jax.training.steps.self_forcing import SelfForcing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
  """How a system is trained.

  Attributes:
    seed: of everything drawn.
    settings: how long, and how often it logs and saves.
    objective: what is minimised.
    optimizer: by which.
    ema: moving averages of the parameters.
    mesh: of the devices.
    messup, corruption: what training spoils on purpose; None of an autoencoder.
    self_forcing, grpo: None in plain denoising.
  """

  seed: int
  settings: Settings
  objective: Any
  optimizer: Any
  ema: Ema
  mesh: MeshShape
  messup: MessUp | None = None
  corruption: ConditionCorruption | None = None
  self_forcing: SelfForcing | None = None
  grpo: GRPO | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(System):
  """A config, built.

  Attributes:
    training: how the system is trained.
  """

  training: Training
