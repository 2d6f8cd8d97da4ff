"""The suites by name: what `experiments.evaluate` can measure."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stale_jax.evaluation import (
  captions,
  contamination,
  denoising,
  dynamics,
  labels,
  likelihood,
  reconstruction,
)


@dataclasses.dataclass(frozen=True)
class Suite:
  """One way to measure a model.

  Attributes:
    measure: (model, clips, seed, **overrides of Sampling if it samples) -> (scores, the clips it made
      or None); scores are JSON, and `real` in them, if there, the same scores of real clips.
    about: what each score to be shown means, in order; `loss/sight` is shown with `loss`.
    samples: whether it makes clips, and so takes a sampler's settings.
    compares: whether `measure` takes a `reference`, another model.
    codes: whether it measures an autoencoder, and shows what becomes of clips; the others cannot.
  """

  measure: Callable
  about: Mapping[str, str]
  samples: bool = True
  compares: bool = False
  codes: bool = False

  def shown(self, scores: Mapping[str, Any]) -> Iterator[tuple[str, float, float | None, str]]:
    """(name, value, the same of real clips if it is known, what it means) of each score to be shown."""
    for kind, meaning in self.about.items():
      for name, value in scores.items():
        if name.split("/")[0] == kind and value is not None:
          yield name, value, scores.get("real", {}).get(name, scores.get(f"{name}_floor")), meaning


SUITES = {
  "captions": Suite(captions.evaluate_captions, captions.ABOUT),
  "denoising": Suite(denoising.evaluate_denoising, denoising.ABOUT, samples=False),
  "dynamics": Suite(dynamics.evaluate_dynamics, dynamics.ABOUT),
  "labels": Suite(labels.evaluate_labels, labels.ABOUT, samples=False),
  "likelihood": Suite(likelihood.evaluate_likelihood, likelihood.ABOUT, samples=False),
  "contamination": Suite(
    contamination.evaluate_contamination, contamination.ABOUT, samples=False, compares=True
  ),
  "reconstruction": Suite(
    reconstruction.evaluate_reconstruction, reconstruction.ABOUT, samples=False, codes=True
  ),
}
