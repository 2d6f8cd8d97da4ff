"""The sum of several objectives."""

import dataclasses
from collections.abc import Mapping

from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.objectives.objective import Objective, Term
from stale_jax.objectives.prediction import Prediction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Total(Objective):
  """The sum of several objectives, each of which applies its own weight.

  Attributes:
    terms: the denoising loss, followed by any others. They are objectives, or terms that `measured` turns
      into objectives. Apart from `loss`, the names of their metrics must differ.
  """

  terms: tuple[Term, ...]

  @property
  def sense_weights(self) -> Mapping[str, float]:
    """sense -> weight in the first term, the denoising loss; 1 for senses without an entry."""
    return self.terms[0].weights

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """Returns the `loss` to minimise, and the metrics of every term."""
    metrics = [term(prediction, batch) for term in self.terms]
    return {k: v for m in metrics for k, v in m.items()} | {"loss": sum(m["loss"] for m in metrics)}

  def measured(self, source) -> "Total":
    """Returns the sum with every term measured on `source`."""
    return Total(terms=tuple(term.measured(source) for term in self.terms))
