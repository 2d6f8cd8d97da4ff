"""Reads checkpoints of a run without moving anything: the run may still be going on."""

from collections.abc import Callable
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from jax.sharding import SingleDeviceSharding

from stale_jax.checkpoints.damage import DamageError, check_files, check_record, decoding, is_damage, reason
from stale_jax.checkpoints.fingerprint import fingerprint, word_sums
from stale_jax.checkpoints.items import open_manager, restoring
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, absolute


def newest_state(folder: AnyPath) -> dict[str, Any]:
  """The whole state of the newest undamaged checkpoint, as plain dictionaries of arrays on one device.

  Raises:
    UserError: `folder` holds no run with an undamaged checkpoint, or its storage cannot be read.
  """
  return _newest(folder, lambda checkpoint: {name: checkpoint.part(name) for name in checkpoint.names})


def newest_part(folder: AnyPath, name: str) -> Any:
  """One field of the newest undamaged state (see `training.state.State`); no other arrays are read.

  A checkpoint of an older version has one fingerprint for all of its arrays, which are then all read, one
  field at a time.

  Raises:
    UserError: like `newest_state`.
  """
  return _newest(folder, lambda checkpoint: checkpoint.part(name))


def _newest(folder: AnyPath, read: Callable[["_Checkpoint"], Any]) -> Any:
  """What `read` makes of the newest checkpoint that is not damaged."""
  folder = absolute(folder)
  if not (folder / "config.json").is_file() or not (folder / "checkpoints").is_dir():
    raise UserError(f"no run in {folder}: it should hold config.json and checkpoints.")
  with open_manager(folder / "checkpoints") as manager:
    steps = sorted(manager.all_steps(), reverse=True)
    if not steps:
      raise UserError(f"the run in {folder} has no checkpoint yet.")
    for step in steps:
      try:
        check_files(folder / "checkpoints" / str(step))
        checkpoint = _Checkpoint(manager, step)
        found = read(checkpoint)
        checkpoint.verify()
        return found
      except Exception as error:
        if not is_damage(error):
          raise UserError(unreadable(folder / "checkpoints", step, error)) from error
        logging.error("checkpoint %d of %s is damaged: %s", step, folder, reason(error))
  raise UserError(f"every checkpoint in {folder} is damaged.")


def unreadable(folder: epath.Path, step: int, error: Exception) -> str:
  """The message of an `error` that may pass."""
  return f"cannot read checkpoint {step} in {folder}: {reason(error)}; it was left as it is, try again."


class _Checkpoint:
  """The arrays of one step, on one device.

  Attributes:
    names: the fields that it holds.
  """

  def __init__(self, manager: ocp.CheckpointManager, step: int):
    self._manager, self._step, self._sums = manager, step, {}
    with decoding("state/_METADATA"):
      self._saved = manager.item_metadata(step).state.tree
    self._rest = manager.restore(step, args=ocp.args.Composite(rest=ocp.args.JsonRestore())).rest
    check_record(self._rest)
    self.names = list(self._saved)

  def part(self, name: str) -> Any:
    """Reads one field."""
    device = SingleDeviceSharding(jax.local_devices()[0])
    like = {name: self._saved[name]}
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), like)
    args = ocp.args.Composite(state=restoring(like, partial=True))
    found = self._manager.restore(self._step, args=args).state
    self._sums |= word_sums(found)
    return found[name]

  def verify(self) -> None:
    """Raises DamageError if what was read is not what was written."""
    if (written := self._rest.get("sums")) is not None:
      same = all(written.get(name) == value for name, value in self._sums.items())
    else:
      for name in self.names:
        if name not in self._sums:
          self.part(name)
      same = fingerprint(self._sums, self._rest["data"]) == self._rest["fingerprint"]
    if not same:
      raise DamageError("its bits have changed since it was written")
