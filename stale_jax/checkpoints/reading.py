"""Reads the checkpoints of a run without changing the folder, since the run may still be in progress."""

from collections.abc import Callable
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from jax.sharding import SingleDeviceSharding

from stale_jax.checkpoints.config_file import read_config
from stale_jax.checkpoints.damage import DamageError, check_files, check_record, decoding, is_damage, reason
from stale_jax.checkpoints.fingerprint import fingerprint, word_sums
from stale_jax.checkpoints.items import open_manager, restoring
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, absolute


def config_of_run(folder: AnyPath) -> dict[str, Any]:
  """Reads the config of the run in `folder`; raises UserError if there is no run, or the file is damaged."""
  folder = absolute(folder)
  if not (folder / "config.json").is_file() or not (folder / "checkpoints").is_dir():
    raise UserError(f"no run in {folder}: it should hold config.json and checkpoints.")
  return read_config(folder / "config.json")


def newest_state(folder: AnyPath) -> dict[str, Any]:
  """Reads the whole state of the newest undamaged checkpoint, as nested dictionaries of arrays on one device.

  Raises:
    UserError: `folder` holds no run with an undamaged checkpoint, or its storage cannot be read.
  """
  return _newest(folder, lambda checkpoint: {name: checkpoint.part(name) for name in checkpoint.names})


def newest_part(folder: AnyPath, name: str, place: Callable[[Any], Any] = lambda _: None) -> Any:
  """Reads one field of the state (see `training.state.State`) from the newest undamaged checkpoint.

  Only the arrays of this field are read, unless the checkpoint is of an older version, which has a single
  fingerprint for all arrays. In that case all fields are read, one at a time, to verify the fingerprint.

  Args:
    folder: folder of the run.
    name: name of the field.
    place: tree of the shapes of the field's arrays -> tree of shardings, or None for the first local device.
      Each device reads only its part of an array.

  Raises:
    UserError: as `newest_state`.
  """
  return _newest(folder, lambda checkpoint: checkpoint.part(name, place))


def _newest(folder: AnyPath, read: Callable[["_Checkpoint"], Any]) -> Any:
  """Returns the result of `read` for the newest checkpoint that is not damaged."""
  folder = absolute(folder)
  config_of_run(folder)
  with open_manager(folder / "checkpoints") as manager:
    steps = sorted(manager.all_steps(), reverse=True)
    if not steps:
      raise UserError(f"the run in {folder} has no checkpoint yet.")
    for step in steps:
      try:
        check_files(folder / "checkpoints" / str(step))
        checkpoint = _Checkpoint(manager, step)
        result = read(checkpoint)
        checkpoint.verify()
        return result
      except UserError:
        raise
      except Exception as error:
        if not is_damage(error):
          raise UserError(unreadable(folder / "checkpoints", step, error)) from error
        logging.error("checkpoint %d of %s is damaged: %s", step, folder, reason(error))
  raise UserError(f"every checkpoint in {folder} is damaged.")


def unreadable(folder: epath.Path, step: int, error: Exception) -> str:
  """The message for an `error` in reading a checkpoint that is not damage and may be temporary."""
  return f"cannot read checkpoint {step} in {folder}: {reason(error)}; nothing was changed, try again."


class _Checkpoint:
  """A checkpoint that is open for reading.

  Attributes:
    names: names of the fields of the state in the checkpoint.
  """

  def __init__(self, manager: ocp.CheckpointManager, step: int):
    self._manager, self._step, self._sums = manager, step, {}
    with decoding("state/_METADATA"):
      self._saved = manager.item_metadata(step).state.tree
    self._rest = manager.restore(step, args=ocp.args.Composite(rest=ocp.args.JsonRestore())).rest
    check_record(self._rest)
    self.names = list(self._saved)

  def part(self, name: str, place: Callable[[Any], Any] = lambda _: None) -> Any:
    """Reads one field of the state; `place`: see `newest_part`."""
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self._saved[name])
    device = SingleDeviceSharding(jax.local_devices()[0])
    shardings = place(shapes) or jax.tree.map(lambda _: device, shapes)
    like = {name: jax.tree.map(lambda x, at: x.update(sharding=at), shapes, shardings)}
    args = ocp.args.Composite(state=restoring(like, partial=True))
    restored = self._manager.restore(self._step, args=args).state
    self._sums |= word_sums(restored)
    return restored[name]

  def verify(self) -> None:
    """Raises DamageError if the checksums of the fields read differ from the checksums written."""
    if (sums := self._rest.get("sums")) is not None:
      is_same = all(sums.get(name) == value for name, value in self._sums.items())
    else:
      for name in self.names:
        if name not in self._sums:
          self.part(name)
      is_same = fingerprint(self._sums, self._rest["data"]) == self._rest["fingerprint"]
    if not is_same:
      raise DamageError("its bits have changed since it was written")
