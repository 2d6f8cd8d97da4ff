"""Digs up, after the run, the average that training with any other EMA length would have kept.

Karras et al., arXiv 2312.02696 (EDM2), section 3 and appendix C. A power-function average
weighs the parameters of step t by about t^gamma; snapshots of a few of them span, to a fraction of
a per cent, all the others: the least-squares combination is solved for in float64.

The snapshots lie in the run's folder, `snapshots/STEP_STD.safetensors`; each is a weights file.
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

from stale_jax.checkpoints.weights import load_weights, save_weights
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, make_folder
from stale_jax.hosts import leads
from stale_jax.training.ema import gamma_of

# Of a profile's norm: what the snapshots may miss. On a random walk the average is then off by at most
# 2% of its distance from the last parameters.
_MISFIT = 0.05


@dataclasses.dataclass(frozen=True, order=True)
class Snapshot:
  """The power-function average `std` after `step` updates, at `path`."""

  step: int
  std: float
  path: AnyPath


def save_snapshots(folder: AnyPath, step: int, tracks: Mapping[float, Any], config: dict[str, Any]) -> None:
  """Writes the averages (std -> parameters) of `step` to the run's folder, in float32."""
  into = epath.Path(folder) / "snapshots"
  if leads():
    make_folder(into)
  for std, params in tracks.items():
    save_weights(into / f"{step}_{std}.safetensors", params, config, jnp.float32)


def find_snapshots(folder: AnyPath) -> list[Snapshot]:
  """All of a run's, by step."""
  files = (epath.Path(folder) / "snapshots").glob("*.safetensors")
  named = ((re.fullmatch(r"(\d+)_([\d.e-]+)", path.stem), path) for path in files)
  return sorted(Snapshot(int(name[1]), float(name[2]), path) for name, path in named if name)


def drop_snapshots_after(folder: AnyPath, step: int) -> None:
  """Removes those that a run resumed from `step` is going to take again."""
  for snapshot in find_snapshots(folder):
    if snapshot.step > step and leads():
      snapshot.path.unlink()


def _product(t_a, gamma_a, t_b, gamma_b) -> np.ndarray:
  """Inner products of the profiles (gamma + 1) t^gamma / T^(gamma + 1) on [0, T], T = t_a and t_b."""
  low = np.minimum(t_a, t_b)
  exponent = (gamma_a + gamma_b + 1) * np.log(low) - (gamma_a + 1) * np.log(t_a) - (gamma_b + 1) * np.log(t_b)
  return (gamma_a + 1) * (gamma_b + 1) / (gamma_a + gamma_b + 1) * np.exp(exponent)


def combination(
  times: Float[np.ndarray, "snapshots"], gammas: Float[np.ndarray, "snapshots"], gamma: float
) -> tuple[Float[np.ndarray, "snapshots"], float]:
  """Weights of snapshots that best make the average `gamma` at the end, and the share of it they miss.

  Args:
    times: of the snapshots, in (0, 1]; 1 is the end.
    gammas: their exponents.
    gamma: the exponent wanted.

  Returns:
    The weights, of sum 1, in float64; and the norm of what is missing from the profile, over its own.
  """
  t, g = np.asarray(times, np.float64), np.asarray(gammas, np.float64)
  gram, right = _product(t[:, None], g[:, None], t, g), _product(t, g, 1.0, gamma)
  # Minimal under the constraint: scaled to it afterwards, the weights miss up to twice as much.
  ones = np.ones((len(t), 1))
  system = np.block([[gram, ones], [ones.T, np.zeros((1, 1))]])
  weights = np.linalg.lstsq(system, np.append(right, 1.0), rcond=None)[0][:-1]
  whole = _product(1.0, gamma, 1.0, gamma)
  missed = whole - 2 * weights @ right + weights @ gram @ weights
  return weights, float(np.sqrt(max(missed, 0.0) / whole))


def weights_of(snapshots: Sequence[Snapshot], std: float) -> tuple[Float[np.ndarray, "snapshots"], float]:
  """`combination` for the average of relative standard deviation `std` at the last of `snapshots`.

  Raises:
    UserError: there are no snapshots, or `std` is out of their reach.
  """
  if not snapshots:
    raise UserError("there are no snapshots: train with ema.snapshots=32.")
  last = max(snapshot.step for snapshot in snapshots)
  times = np.array([snapshot.step / last for snapshot in snapshots])
  gammas = np.array([gamma_of(snapshot.std) for snapshot in snapshots])
  weights, misfit = combination(times, gammas, gamma_of(std))
  if misfit > _MISFIT:
    raise UserError(
      f"std={std:g} is out of reach: these {len(snapshots)} snapshots miss {misfit:.1%} of its profile, and "
      f"{_MISFIT:.1%} is allowed. Choose one between or nearer to their tracks, or take more (ema.snapshots)."
    )
  return weights, misfit


def excavate(snapshots: Sequence[Snapshot], std: float) -> Any:
  """The power-function average of relative standard deviation `std` at the last of `snapshots`, in float32.

  Raises:
    UserError: as `weights_of`; or a snapshot cannot be read.
  """
  weights, _ = weights_of(snapshots, std)

  def weighed(weight, snapshot):
    params, _ = load_weights(snapshot.path)
    return jax.tree.map(lambda p: weight * p.astype(np.float64), params)

  total = functools.reduce(lambda a, b: jax.tree.map(np.add, a, b), map(weighed, weights, snapshots))
  return jax.tree.map(lambda x: x.astype(np.float32), total)
