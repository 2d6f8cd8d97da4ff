"""What every objective of a denoiser is."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.objectives.prediction import Prediction


@runtime_checkable
class Objective(Protocol):
  """A loss of a network's answer to a corrupted batch. It is pure and reads no data: JAX traces it."""

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """Returns the `loss` to minimise, and the metrics that the log shows beside it."""
    ...

  def measured(self, source) -> "Objective":
    """Returns the objective itself, which needs no statistics of `source` (see `Term`)."""
    return self


@runtime_checkable
class Term(Protocol):
  """An objective before the data are measured. Every `Objective` is a `Term`."""

  def measured(self, source) -> Objective:
    """Reads the statistics that the objective needs from `source`; called once, before any tracing.

    Args:
      source: random access to examples.
    """
    ...
