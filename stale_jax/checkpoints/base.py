"""The record of the frozen weights below an adapter: base.json in the run's folder, with their digest.

The checkpoints of such a run do not hold these weights. They are read again from where they were, and the
digest tells whether they are still the same.
"""

import hashlib
import json
from typing import Any

import jax
import numpy as np

from stale_jax.checkpoints.named import NAMED
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, absolute, at, read_object, write_whole
from stale_jax.hosts import leads
from stale_jax.mesh import on_host, path_name

_NAME = "base.json"


def digest(params: Any) -> str:
  """A digest of the names and bits of parameters, whatever their sharding; all processes must call this.

  Each process holds one whole array at a time.
  """
  found = hashlib.sha256()
  for path, x in jax.tree_util.tree_leaves_with_path(params):
    found.update(path_name(path).encode())
    found.update(np.ascontiguousarray(on_host(x)))
  return found.hexdigest()[:16]


def record_base(folder: AnyPath, name: str, params: Any) -> None:
  """Records the weights that a run starts from; all processes of the run must call this.

  Args:
    folder: the run's folder.
    name: `training.init_from`.
    params: the weights.
  """
  place = name if name in NAMED else str(absolute(at(name)))
  record = {"init_from": place, "digest": digest(params)}
  if leads():
    write_whole(folder / _NAME, json.dumps(record, indent=1) + "\n")


def place_of_base(folder: AnyPath) -> str:
  """The path or packaged name of the weights below the adapter of the run in `folder`."""
  return _read(folder)["init_from"]


def check_base(folder: AnyPath, params: Any) -> None:
  """Raises UserError if `params` are not the weights with which the run in `folder` began."""
  record = _read(folder)
  if digest(params) != record["digest"]:
    raise UserError(
      f"the adapter in {folder} was trained on other weights: those of {record['init_from']} had the digest "
      f"{record['digest']}, and these have {digest(params)}; restore them."
    )


def _read(folder: AnyPath) -> dict[str, Any]:
  path = folder / _NAME
  if not path.exists():
    raise UserError(f"{path} is missing, which says on which weights the adapter was trained; restore it.")
  record = read_object(path, "restore it: it says on which weights the adapter was trained")
  if not {"init_from", "digest"} <= record.keys():
    raise UserError(f"{path} lacks init_from or digest; restore the file.")
  return record
