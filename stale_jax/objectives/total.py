"""Several objectives at once."""

import dataclasses

from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.objectives.denoising import Prediction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Total:
  """The sum of objectives, each of which weighs itself.

  Attributes:
    terms: objectives; the names of their metrics, but for `loss`, must differ.
  """

  terms: tuple

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """The `loss` to minimise, and the metrics of every term."""
    every = [term(prediction, batch) for term in self.terms]
    return {k: v for metrics in every for k, v in metrics.items()} | {"loss": sum(m["loss"] for m in every)}
