"""The difference-of-Gaussians objective (DoG): the squared error, weighted by frequency band.

Most of the energy of natural video, and hence of the plain squared error, is at low frequencies. Here the
scaled error r of the denoised estimate (`Process.residual`, whose square is the plain loss) is split into the
bands B_k of a pyramid. The loss is sum_k w_k |B_k r|^2, where 1 / w_k is proportional to the energy of B_k on
real data, so that the same relative error counts equally in every band.

The minimiser is still the posterior mean. With r = S (output - target), S diagonal and positive, the loss is
(output - target)' S M S (output - target), M = sum_k w_k B_k' B_k. M is positive definite: the bands add up
to the identity, so B_k r = 0 for every k implies r = sum_k B_k r = 0. For each x_t the expected loss is
therefore a strictly convex quadratic in the output. Its gradient 2 S M S (output - E[target | x_t]) vanishes
only at E[target | x_t], which also minimises the plain loss. The objectives differ in how a network that is
too small, or not fully trained, distributes its error over the bands.
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

# Number of real clips on which the energies of the bands are measured.
_CLIPS = 256
# Lower bound of a band's energy, relative to the largest: some bands have no energy at all.
_FLOOR = 0.05


def band_weights(energies: Float[np.ndarray, "bands"]) -> Float[np.ndarray, "bands"]:
  """Weights inversely proportional to `energies`, with an energy-weighted mean of 1.

  The energies have a lower bound (`_FLOOR`), so that the weights of bands without energy stay finite.
  """
  energies = np.asarray(energies, np.float64)
  if not energies.any():
    return np.ones(len(energies))
  weights = 1 / np.maximum(energies, _FLOOR * energies.max())
  return weights * energies.sum() / (weights * energies).sum()


def measure_band_weights(source: Source, count: int) -> dict[str, Float[np.ndarray, "bands"]]:
  """Computes the weights of the bands of each sense from their energies on the first 256 clips of `source`.

  Args:
    source: random access to examples.
    count: number of bands.

  Returns:
    sense -> weight of each band. The mean of the sense is subtracted before energies are measured.
  """
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
  """Settings of the objective, weight * sum_k w_k |B_k r|^2 per sense; `measured` returns the objective.

  Attributes:
    process: the noising process, which defines the residual r.
    weight: weight relative to the other objectives.
    bands: number of bands.
    weights: sense -> weight; 1 for senses without an entry.

  Raises:
    UserError: fewer than two bands, a negative weight, or a process whose loss is not a squared error.
  """

  process: Process
  weight: float = number(1.0, least=0, most=1e6)
  bands: int = number(BANDS, least=2, most=32)
  weights: Mapping[str, float] = number({}, least=0, most=1e6)

  def __post_init__(self):
    check_fields(self, "dog")
    if self.process.is_discrete:
      raise UserError(
        f"dog: the loss of {type(self.process).__name__} is not a squared error; remove the section dog."
      )

  def measured(self, source) -> "BandLoss":
    """Returns the objective, with band weights measured on the first clips of `source`."""
    return BandLoss(settings=self, band_weights=measure_band_weights(source, self.bands))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BandLoss(Objective):
  """The difference-of-Gaussians objective, averaged over real frames.

  Attributes:
    settings: settings of the objective.
    band_weights: sense -> weight w_k of each band; 1 for senses without an entry.
  """

  settings: DoG
  band_weights: Mapping[str, Float[np.ndarray, "bands"]]

  def __call__(self, prediction: Prediction, batch: Batch) -> dict[str, Float[Array, ""]]:
    """Returns the `loss` to minimise, and the loss of each sense before `weight`, as `dog/<sense>`."""
    losses, total, count = {}, jnp.zeros(()), self.settings.bands
    for name, output in prediction.output.items():
      residual = self.settings.process.residual(output, prediction.corruption[name], prediction.t)
      real = real_frames(name, batch, residual)
      # Masked before the blur, so that padding frames do not leak into real frames.
      parts = split_bands(jnp.where(real, residual, 0), count)
      weights = self.band_weights.get(name, np.ones(count))
      loss = sum(float(w) * jnp.sum(jnp.square(p)) for w, p in zip(weights, parts, strict=True))
      losses[f"dog/{name}"] = loss / jnp.maximum(jnp.sum(real), 1)
      total += self.settings.weights.get(name, 1.0) * losses[f"dog/{name}"]
    return {"loss": self.settings.weight * total, **losses}
