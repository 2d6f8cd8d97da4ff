"""Prior files: a tuned distribution of the initial noise in one small safetensors file."""

import json
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, at, local_copy, one_line, write_whole
from stale_jax.sampling.noise_prior import NoisePrior

_PARTS = ("mean", "log_std")


def save_prior(path: str | AnyPath, prior: NoisePrior, about: Mapping[str, Any]) -> None:
  """Writes a prior, atomically: tensors `mean/SENSE` and `log_std/SENSE`, and metadata.

  Args:
    path: the file.
    prior: the distribution.
    about: further facts for the reader, as JSON, for example the prompt and the reward.
  """
  parts = {"mean": prior.mean, "log_std": prior.log_std}
  tensors = {
    f"{part}/{sense}": np.asarray(x, np.float32) for part in _PARTS for sense, x in parts[part].items()
  }
  write_whole(at(path), save(tensors, metadata={"frames": str(prior.frames), "about": json.dumps(about)}))


def load_prior(path: str | AnyPath) -> NoisePrior:
  """Reads a prior file.

  Raises:
    UserError: there is no such file, or it is no prior file.
  """
  path = at(path)
  if not path.is_file():
    raise UserError(f"no prior at {path}: give a file that experiments.find wrote.")
  try:
    with local_copy(path) as file, safe_open(file, framework="numpy") as file:
      frames = int(file.metadata()["frames"])
      parts: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
      for name in file.keys():
        part, _, sense = name.partition("/")
        parts[part][sense] = jnp.asarray(file.get_tensor(name), jnp.float32)
  # TypeError: there is no metadata.
  except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
    raise UserError(
      f"{path} is no prior file: {one_line(error)}; give one that experiments.find wrote."
    ) from error
  mean, log_std = parts["mean"], parts["log_std"]
  shapes = [{sense: x.shape for sense, x in part.items()} for part in (mean, log_std)]
  finite = all(bool(jnp.isfinite(x).all()) for x in (*mean.values(), *log_std.values()))
  if not mean or frames < 1 or shapes[0] != shapes[1] or not finite:
    raise UserError(
      f"{path} is damaged: its means and deviations do not match; use another copy of the file."
    )
  return NoisePrior(mean=mean, log_std=log_std, frames=frames, name=str(path))
