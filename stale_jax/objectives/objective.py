"""The protocols of the objectives of a denoiser."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.objectives.prediction import Prediction


@runtime_checkable
class Objective(Protocol):
  """A loss of a network's prediction for a corrupted batch. It is a pure function, which JAX can trace."""

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """Returns the `loss` to minimise, and further metrics for the log."""
    ...

  def measured(self, source) -> "Objective":
    """Returns the objective itself: by default it needs no statistics of `source` (see `Term`)."""
    return self


@runtime_checkable
class Term(Protocol):
  """An objective that may still need statistics of the data. Every `Objective` is a `Term`."""

  def measured(self, source) -> Objective:
    """Returns the objective, with the statistics that it needs computed from `source`.

    This reads data, so it is called once, before any tracing.

    Args:
      source: random access to examples.
    """
    ...
