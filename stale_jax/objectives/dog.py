"""The difference-of-Gaussians objective: errors weighed a frequency band at a time (the DoG).

Natural video has most of its energy in low frequencies, and so has the plain squared error.
Here the scaled error r of the denoised estimate (`Process.residual`, whose square is the plain
loss) is cut into the bands B_k of a pyramid, and the loss is sum_k w_k |B_k r|^2, with 1 / w_k in
proportion to the energy of B_k on real data, so that an equal relative error counts the same
in every band.

Its optimum is still the posterior mean. r = S (output - target) with S diagonal and positive, so
the loss is (output - target)' S M S (output - target), M = sum_k w_k B_k' B_k. M is positive
definite: if B_k r = 0 for every k then r = sum_k B_k r = 0, for the bands add up to the identity.
So for each x_t the expected loss is a strictly convex quadratic in the output, whose gradient
2 S M S (output - E[target | x_t]) vanishes where the output is E[target | x_t] and nowhere else:
the minimiser of the plain loss. What differs is how far from it a network that is too small, or
trained too little, comes to lie in each band.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stale_jax.clip import Batch
from stale_jax.data.source import Source
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.objectives.objective import Objective
from stale_jax.objectives.prediction import Prediction, real_frames
from stale_jax.objectives.pyramid import BANDS, band_energies, split_bands
from stale_jax.processes import Process

# Real clips on which the bands' energies are measured.
_CLIPS = 256
# A band with less than this share of the greatest energy counts as if it had it: some have none at all.
_FLOOR = 0.05


def band_weights(energies: Float[np.ndarray, "bands"]) -> Float[np.ndarray, "bands"]:
  """Inverse to `energies`, which weigh them to a mean of 1; a band of (nearly) none is bounded."""
  energies = np.asarray(energies, np.float64)
  if not energies.any():
    return np.ones(len(energies))
  weights = 1 / np.maximum(energies, _FLOOR * energies.max())
  return weights * energies.sum() / (weights * energies).sum()


def measure_band_weights(source: Source, count: int) -> dict[str, Float[np.ndarray, "bands"]]:
  """sense -> weight of each of `count` bands, by their energies about the mean on the first real clips."""
  examples = [source[i]["clip"] for i in range(min(_CLIPS, len(source)))]
  out = {}
  for name in sorted({name for clip in examples for name in clip}):
    clips = [np.asarray(clip[name], np.float64) for clip in examples if name in clip]
    mean = np.mean([x.mean() for x in clips])
    energies = np.mean([np.ravel(band_energies(x[None] - mean, count)) for x in clips], 0)
    out[name] = band_weights(energies)
  return out


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoG:
  """Settings of the objective weight * sum_k w_k |B_k r|^2 a sense; `measured` makes the objective.

  Attributes:
    process: whose residual r is cut into bands.
    weight: of the whole.
    bands: their number.
    weights: sense -> weight; 1 where a sense is not named.

  Raises:
    UserError: fewer than two bands, a negative weight, or a process whose loss is not a square.
  """

  process: Process
  weight: float = number(1.0, least=0)
  bands: int = number(BANDS, least=2)
  weights: Mapping[str, float] = number({}, least=0)

  def __post_init__(self):
    check_fields(self, "dog")
    if self.process.is_discrete:
      raise UserError(
        f"dog: the loss of {type(self.process).__name__} is not a square; leave the section out."
      )

  def measured(self, source) -> "BandLoss":
    """The objective, its bands weighed by their energies on the first real clips of `source`."""
    return BandLoss(settings=self, band_weights=measure_band_weights(source, self.bands))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BandLoss(Objective):
  """The difference-of-Gaussians objective, averaged over real frames.

  Attributes:
    settings: of the objective.
    band_weights: sense -> weight w_k of each band; 1 where a sense is not named.
  """

  settings: DoG
  band_weights: Mapping[str, Float[np.ndarray, "bands"]]

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """Returns the `loss` to minimise, and each sense's own, before `weight`, as `dog/<sense>`."""
    losses, total, count = {}, jnp.zeros(()), self.settings.bands
    for name, output in prediction.output.items():
      residual = self.settings.process.residual(output, prediction.corruption[name], prediction.t)
      real = real_frames(name, batch, residual)
      # Masked before they are blurred: frames that are not real must not leak into their neighbours.
      parts = split_bands(jnp.where(real, residual, 0), count)
      weights = self.band_weights.get(name, np.ones(count))
      loss = sum(float(w) * jnp.sum(jnp.square(p)) for w, p in zip(weights, parts, strict=True))
      losses[f"dog/{name}"] = loss / jnp.maximum(jnp.sum(real), 1)
      total += self.settings.weights.get(name, 1.0) * losses[f"dog/{name}"]
    return {"loss": self.settings.weight * total, **losses}
