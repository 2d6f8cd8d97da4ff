"""How long a run trains, and how often it logs and saves."""

import dataclasses

from stale_jax.fields import check_fields, number


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

  steps: int = number(1000, least=1)
  batch: int = number(64, least=1)
  accumulate: int = number(1, least=1)
  caption_dropout: float = number(0.1, least=0, below=1)
  init_from: str = ""
  log_every: int = number(20, least=1)
  checkpoint_every: int = number(500, least=1)
  keep: int = number(3, least=1)
  processes: int = number(1, least=1)
  silence: float = number(100.0, least=1)

  def __post_init__(self):
    check_fields(self, "training")
