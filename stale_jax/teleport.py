"""The file from which samplers teleport: mean and covariance of the clips that a model was trained on."""

import dataclasses
import json
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stale_jax.checks import check_generates
from stale_jax.clip import floats
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, number
from stale_jax.files import AnyPath, at, local_copy, write_whole
from stale_jax.pipeline import Model
from stale_jax.processes import Moments, measured_moments
from stale_jax.progress import Stage, tracked
from stale_jax.sampling import Teleport
from stale_jax.sampling.teleport import flat


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
  """How the moments of a data set are measured.

  Attributes:
    clips: number of clips, drawn at random.
    rank: number of principal components to keep.
    seed: seed of the choice of clips.
  """

  clips: int = number(4096, least=2)
  rank: int = number(128, least=1)
  seed: int = number(0, least=0)

  def __post_init__(self):
    check_fields(self, "teleport")


def measure(model: Model, how: Measurement = Measurement()) -> Moments:  # noqa: B008
  """The moments of the clips that `model` was trained on, in one pass over `how.clips` of them.

  Raises:
    UserError: the process of the model has no teleport.
  """
  check_teleports(model)
  source, process = model.system.data.source, model.system.diffusion.process
  names = [sense.name for sense in model.system.data.senses]
  chosen = np.random.default_rng(how.seed).integers(0, len(source), how.clips)

  def block(rows: np.ndarray) -> np.ndarray:
    clips = [floats(source[int(row)]["clip"]) for row in rows]
    clip = {name: process.coordinate(jnp.asarray(np.stack([c[name] for c in clips]))) for name in names}
    return np.asarray(flat(clip))

  blocks = np.array_split(chosen, -(-how.clips // (2 * how.rank)))
  stage = Stage("measuring", how.clips, "clips")
  return measured_moments(tracked(map(block, blocks), stage, len), how.rank)


def check_teleports(model: Model) -> None:
  """Raises UserError if samplers of `model` cannot teleport."""
  check_generates(model.system, model.name)
  process = model.system.diffusion.process
  if not process.has_teleport:
    raise UserError(
      f"{model.name} was trained with {type(process).__name__}, which has no closed form near the noise; "
      "train with process gaussian_flow, vp, edm or reflected to teleport."
    )


def save_moments(path: AnyPath, moments: Moments, model: Model, how: Measurement) -> None:
  """Writes `moments` to a safetensors file: the components in float16, and the shapes of the clips."""
  tensors = {
    "mean": np.asarray(moments.mean, np.float32),
    "square": np.asarray(moments.square, np.float32),
    "basis": np.asarray(moments.basis, np.float16),
    "variances": np.asarray(moments.variances, np.float32),
  }
  about = {**_about(model), "measurement": dataclasses.asdict(how)}
  write_whole(path, save(tensors, metadata={"teleport": json.dumps(about)}))


def load_teleport(path: str | AnyPath, model: Model, share: float) -> Teleport:
  """Reads a file of `save_moments`, for use with `model`.

  Args:
    path: the file.
    model: the model that will sample.
    share: share of the solver steps to leave out, at least 0 and below 1.

  Raises:
    UserError: there is no such file, it was measured for other clips or another process, or `share` is out of
      range.
  """
  check_teleports(model)
  if not 0 <= share < 1:
    raise UserError(f"teleport_share={share} must be at least 0 and less than 1.")
  path = at(path)
  if not path.is_file():
    raise UserError(f"no file at {path}: make it with experiments.teleport.")
  try:
    with local_copy(path) as file, safe_open(file, framework="numpy") as tensors:
      about = json.loads(tensors.metadata()["teleport"])
      names = ("mean", "square", "basis", "variances")
      parts = {name: jnp.asarray(tensors.get_tensor(name), jnp.float32) for name in names}
  except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
    raise UserError(f"{path} is not a file of experiments.teleport: {error}") from error
  for name, wanted in _about(model).items():
    if about.get(name) != wanted:
      raise UserError(
        f"{path} was measured for {name} {about.get(name)}, and {model.name} has {wanted}: measure "
        "again with experiments.teleport."
      )
  return Teleport(moments=Moments(**parts), share=share)


def _about(model: Model) -> dict[str, Any]:
  """What a file must have in common with a model: the kind of noise, and the senses with their shapes."""
  frames, senses = model.system.data.source.frames, model.system.data.senses
  return {
    "noise": "added" if model.system.diffusion.process.mixes_noise else "reflected",
    "senses": {sense.name: [frames, *sense.shape] for sense in senses},
  }
