"""How long a run trains, and how often it logs and saves."""

import dataclasses

from stale_jax.construct import at_least
from stale_jax.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
  """How long a run trains, and how often it logs and saves.

  Attributes:
    steps: optimizer updates in all.
    batch: examples an update, over all devices.
    accumulate: parts a batch is cut into, one after the other.
    caption_dropout: share of captions withheld, for classifier-free guidance, and of each micro-condition.
    init_from: weights (a run's folder or a file; "shipped", "causal": of the package) to start from.
    log_every, checkpoint_every: steps.
    keep: newest checkpoints that stay.
    processes: of JAX that train together, one a host as a rule.
    silence: seconds without a sign of life after which one of them counts as dead.
  """

  steps: int = 1000
  batch: int = 64
  accumulate: int = 1
  caption_dropout: float = 0.1
  init_from: str = ""
  log_every: int = 20
  checkpoint_every: int = 500
  keep: int = 3
  processes: int = 1
  silence: float = 100.0

  def __post_init__(self):
    at_least(
      1,
      "training",
      steps=self.steps,
      batch=self.batch,
      accumulate=self.accumulate,
      log_every=self.log_every,
      checkpoint_every=self.checkpoint_every,
      keep=self.keep,
      processes=self.processes,
      silence=self.silence,
    )
    if not 0 <= self.caption_dropout < 1:
      raise UserError(f"training.caption_dropout={self.caption_dropout} must be at least 0 and less than 1.")
