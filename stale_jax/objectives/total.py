"""Several objectives at once."""

import dataclasses
from collections.abc import Mapping

from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.objectives.objective import Objective, Term
from stale_jax.objectives.prediction import Prediction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Total(Objective):
  """The sum of objectives, each of which weighs itself.

  Attributes:
    terms: the denoising loss and any others; objectives, or terms that `measured` turns into objectives.
      The names of their metrics, except `loss`, must differ.
  """

  terms: tuple[Term, ...]

  @property
  def sense_weights(self) -> Mapping[str, float]:
    """sense -> weight of the first term, the denoising loss; 1 where a sense is not named."""
    return self.terms[0].weights

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """Returns the `loss` to minimise, and the metrics of every term."""
    every = [term(prediction, batch) for term in self.terms]
    return {k: v for metrics in every for k, v in metrics.items()} | {"loss": sum(m["loss"] for m in every)}

  def measured(self, source) -> "Total":
    """Returns the sum with every term measured on `source`."""
    return Total(terms=tuple(term.measured(source) for term in self.terms))
