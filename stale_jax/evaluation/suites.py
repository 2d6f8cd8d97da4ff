"""Suites by name: what `experiments.evaluate` can measure."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stale_jax.evaluation import (
  captions,
  contamination,
  denoising,
  dynamics,
  features,
  labels,
  likelihood,
  memorisation,
  reconstruction,
  rollouts,
)
from stale_jax.evaluation.cartoons import captioned, composition


@dataclasses.dataclass(frozen=True)
class Suite:
  """One way to measure a model.

  Attributes:
    measure: (model, clips, seed, **overrides of `Sampling` if it generates clips) -> (scores, clips to show
      or None). The scores can be written as JSON; their optional entry `real` holds the same scores of real
      clips.
    about: score -> its meaning, in the order in which they are shown; `loss/sight` is shown with `loss`.
    samples: whether it generates clips, and so takes settings of the sampler.
    compares: whether `measure` takes a second model, `reference`.
    is_for_autoencoders: whether it measures an autoencoder on real clips instead of generated ones.
    panels: scores -> panels for `media.curves`, for a suite that makes long movies; `measure` then takes
      `seconds`.
    maps: scores -> arguments of `media.heat_maps`, for a suite that measures every block at several times.
  """

  measure: Callable
  about: Mapping[str, str]
  samples: bool = True
  compares: bool = False
  is_for_autoencoders: bool = False
  panels: Callable | None = None
  maps: Callable | None = None

  def shown(self, scores: Mapping[str, Any]) -> Iterator[tuple[str, float, float | None, str]]:
    """(name, value, value of real clips or None, meaning) of each score to show.

    A note in the entry `notes` of the scores is prepended to the meaning.
    """
    for kind, meaning in self.about.items():
      for name, value in scores.items():
        if name.split("/")[0] == kind and value is not None:
          real = scores.get("real", {}).get(name, scores.get(f"{name}_floor"))
          notes = scores.get("notes", {})
          yield name, value, real, f"{notes[name]}: {meaning}" if name in notes else meaning


SUITES = {
  "captions": Suite(captions.evaluate_captions, captions.ABOUT),
  "cartoons": Suite(captioned.evaluate_cartoons, captioned.ABOUT),
  "composition": Suite(composition.evaluate_composition, composition.ABOUT),
  "denoising": Suite(denoising.evaluate_denoising, denoising.ABOUT, samples=False),
  "dynamics": Suite(dynamics.evaluate_dynamics, dynamics.ABOUT),
  "features": Suite(features.evaluate_features, features.ABOUT, samples=False, maps=features.maps),
  "labels": Suite(labels.evaluate_labels, labels.ABOUT, samples=False),
  "liveliness": Suite(rollouts.evaluate_liveliness, rollouts.ABOUT, panels=rollouts.panels),
  "likelihood": Suite(likelihood.evaluate_likelihood, likelihood.ABOUT, samples=False),
  "memorisation": Suite(memorisation.evaluate_memorisation, memorisation.ABOUT),
  "contamination": Suite(
    contamination.evaluate_contamination, contamination.ABOUT, samples=False, compares=True
  ),
  "reconstruction": Suite(
    reconstruction.evaluate_reconstruction, reconstruction.ABOUT, samples=False, is_for_autoencoders=True
  ),
}
