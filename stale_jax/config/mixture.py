"""The variant "mixture" of the section `source`: batches of several sources, by weight."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from stale_jax.construct import construct
from stale_jax.data.source import Source
from stale_jax.data.sources.mixture import Mixture
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, nearest, number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixed:
  """Several sources, from which the batches of a run are drawn by weight.

  Attributes:
    sources: name -> section of a source; the names are free.
    weights: name -> share of the batches that come from this source, relative to the others; default: 1.
  """

  sources: Mapping[str, Any]
  weights: Mapping[str, float] = number({}, least=0, most=1e6)

  def __post_init__(self):
    check_fields(self, "source")
    for name in self.weights:
      if name not in self.sources:
        raise UserError(f"source.weights names {name!r}: {nearest(name, self.sources)}")


def build_mixture(section: Mapping[str, Any], build: Callable[[Mapping[str, Any]], Source]) -> Mixture:
  """Builds the sources of a mixture with `build`.

  Raises:
    UserError: there are no sources, all weights are 0, or the sources do not fit each other.
  """
  mixed = construct(Mixed, section, "source")
  weights = tuple(float(mixed.weights.get(name, 1.0)) for name in mixed.sources)
  if not sum(weights):
    raise UserError(
      "source.sources is empty, or all source.weights are 0: give at least one source a weight."
    )
  parts = {name: build(inner) for name, inner in mixed.sources.items()}
  return Mixture(parts=tuple(parts.values()), names=tuple(parts), weights=weights)
