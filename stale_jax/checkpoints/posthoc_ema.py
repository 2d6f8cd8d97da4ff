"""Post-hoc EMA: computes, after a run, averages of its parameters with other relative standard deviations.

Karras et al., arXiv 2312.02696 (EDM2), section 3 and appendix C. A power-function average weights the
parameters of step t by about t^gamma. Linear combinations of snapshots of a few such averages approximate all
others to a fraction of a per cent; the least-squares combination is computed in float64.

The snapshots are weights files in the run's folder, `snapshots/STEP_STD.safetensors`.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Float

from stale_jax.checkpoints.fit import difference
from stale_jax.checkpoints.weights import load_weights, save_weights
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, make_folder
from stale_jax.hosts import leads
from stale_jax.training.ema import gamma_of

# Largest allowed error of the combined profile, relative to the norm of the profile. If the parameters follow
# a random walk, the error of the average is then at most 2% of its distance from the last parameters.
_MISFIT = 0.05


@dataclasses.dataclass(frozen=True, order=True)
class Snapshot:
  """A snapshot of a power-function average.

  Attributes:
    step: number of updates at the snapshot.
    std: relative standard deviation of the average.
    path: its weights file.
  """

  step: int
  std: float
  path: AnyPath


def save_snapshots(folder: AnyPath, step: int, tracks: Mapping[float, Any], config: dict[str, Any]) -> None:
  """Writes snapshots of the power-function averages, in float32; all processes of the run must call this.

  Args:
    folder: the run's folder.
    step: number of updates.
    tracks: relative standard deviation -> averaged parameters.
    config: the run's config.
  """
  snapshots = epath.Path(folder) / "snapshots"
  if leads():
    make_folder(snapshots)
  for std, params in tracks.items():
    save_weights(snapshots / f"{step}_{std}.safetensors", params, config, jnp.float32)


def find_snapshots(folder: AnyPath) -> list[Snapshot]:
  """All snapshots in a run's folder, sorted by step."""
  files = (epath.Path(folder) / "snapshots").glob("*.safetensors")
  named = ((re.fullmatch(r"(\d+)_([\d.e-]+)", path.stem), path) for path in files)
  return sorted(Snapshot(int(name[1]), float(name[2]), path) for name, path in named if name)


def drop_snapshots_after(folder: AnyPath, step: int) -> None:
  """Removes snapshots of steps after `step`: a run that resumes from `step` writes them again."""
  for snapshot in find_snapshots(folder):
    if snapshot.step > step and leads():
      snapshot.path.unlink()


def _product(t_a, gamma_a, t_b, gamma_b) -> np.ndarray | np.floating:
  """Inner products of profiles (gamma + 1) t^gamma / T^(gamma + 1) on [0, T], with T = t_a and T = t_b."""
  low = np.minimum(t_a, t_b)
  exponent = (gamma_a + gamma_b + 1) * np.log(low) - (gamma_a + 1) * np.log(t_a) - (gamma_b + 1) * np.log(t_b)
  return (gamma_a + 1) * (gamma_b + 1) / (gamma_a + gamma_b + 1) * np.exp(exponent)


def combination(
  times: Float[np.ndarray, "snapshots"], gammas: Float[np.ndarray, "snapshots"], gamma: float
) -> tuple[Float[np.ndarray, "snapshots"], float]:
  """Coefficients with which snapshots best approximate the average with exponent `gamma` at the end of a run.

  Args:
    times: times of the snapshots in (0, 1]; 1 is the end of the run.
    gammas: exponents of the snapshots.
    gamma: exponent of the required average.

  Returns:
    The coefficients of the snapshots, in float64, with sum 1; and the norm of the error of the combined
    profile, relative to the norm of the profile.
  """
  t, g = np.asarray(times, np.float64), np.asarray(gammas, np.float64)
  gram, right = _product(t[:, None], g[:, None], t, g), _product(t, g, 1.0, gamma)
  # Sum 1 is a constraint of the least-squares problem; normalising afterwards can double the error.
  ones = np.ones((len(t), 1))
  system = np.block([[gram, ones], [ones.T, np.zeros((1, 1))]])
  weights = np.linalg.lstsq(system, np.append(right, 1.0), rcond=None)[0][:-1]
  whole = _product(1.0, gamma, 1.0, gamma)
  missed = whole - 2 * weights @ right + weights @ gram @ weights
  return weights, float(np.sqrt(max(missed, 0.0) / whole))


def weights_of(snapshots: Sequence[Snapshot], std: float) -> tuple[Float[np.ndarray, "snapshots"], float]:
  """Coefficients with which `snapshots` approximate the average of relative standard deviation `std`.

  The average is taken at the step of the last snapshot.

  Returns:
    As `combination`: the coefficient of each snapshot, and the relative error of the profile.

  Raises:
    UserError: there are no snapshots, or they cannot approximate `std`.
  """
  if not snapshots:
    raise UserError("there are no snapshots: train with ema.snapshots=32.")
  last = max(snapshot.step for snapshot in snapshots)
  times = np.array([snapshot.step / last for snapshot in snapshots])
  gammas = np.array([gamma_of(snapshot.std) for snapshot in snapshots])
  weights, misfit = combination(times, gammas, gamma_of(std))
  if misfit > _MISFIT:
    raise UserError(
      f"std={std:g} is out of reach: with these {len(snapshots)} snapshots, the profile of the average has "
      f"an error of {misfit:.1%}, above the limit of {_MISFIT:.1%}. Choose a value nearer to ema.tracks, or "
      "train with more ema.snapshots."
    )
  return weights, misfit


def excavate(snapshots: Sequence[Snapshot], std: float) -> Any:
  """Computes the power-function average with relative standard deviation `std` at the last snapshot's step.

  Returns:
    The averaged parameters, in float32.

  Raises:
    UserError: as `weights_of`; a snapshot cannot be read; or the snapshots are of different models.
  """
  weights, _ = weights_of(snapshots, std)

  like, _ = load_weights(snapshots[0].path)

  def weighted(weight, snapshot):
    params, _ = load_weights(snapshot.path)
    if text := difference(params, like, snapshot.path, snapshots[0].path):
      raise UserError(f"the snapshots are of different models: {text}; delete those of the other model.")
    return jax.tree.map(lambda p: weight * p.astype(np.float64), params)

  total = functools.reduce(lambda a, b: jax.tree.map(np.add, a, b), map(weighted, weights, snapshots))
  return jax.tree.map(lambda x: x.astype(np.float32), total)
