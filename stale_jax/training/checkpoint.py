"""Checkpoints that survive anything: asynchronous, whole or absent, verified when read.

Each holds the training state, the data iterator's state and a fingerprint of the former.
Orbax renames a finished checkpoint into place, so that a kill leaves none half-written;
the fingerprint finds the ones that were damaged afterwards.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import SingleDeviceSharding

from stale_jax.errors import UserError
from stale_jax.training.state import State, fingerprint


def _manager(folder: Path, options: ocp.CheckpointManagerOptions | None = None) -> ocp.CheckpointManager:
  handlers = {"state": ocp.StandardCheckpointHandler(), "rest": ocp.JsonCheckpointHandler()}
  return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)


class Checkpointer:
  """The checkpoints of one run.

  Args:
    folder: of the run; they lie in its `checkpoints`.
    keep: how many of the newest stay.

  Raises:
    UserError: the folder cannot be written.
  """

  def __init__(self, folder: Path, keep: int = 3):
    self.folder = Path(folder).absolute() / "checkpoints"
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise UserError(f"cannot write to {folder}: {error.strerror}. Choose another --workdir.") from error
    self._keep = keep
    self._open()

  def _open(self):
    options = ocp.CheckpointManagerOptions(max_to_keep=self._keep, enable_async_checkpointing=True)
    self._manager = _manager(self.folder, options)

  def latest(self) -> int | None:
    """The newest finished checkpoint's step."""
    return self._manager.latest_step()

  def save(self, step: int, state: State, data: Any) -> None:
    """Begins to save in the background; `data` is the iterator's state, as JSON."""
    if step == self._manager.latest_step():
      return
    rest = {"data": data, "fingerprint": fingerprint(state)}
    items = ocp.args.Composite(state=ocp.args.StandardSave(state), rest=ocp.args.JsonSave(rest))
    self._manager.save(step, args=items)

  def restore(self, like: State, say: Callable[[str], None] = logging.warning) -> tuple[State, Any] | None:
    """The newest undamaged state, in the shapes and shardings of `like`, and its data state.

    A damaged checkpoint is moved aside, and `say` says so.

    Returns:
      None if there is no checkpoint at all.

    Raises:
      UserError: every checkpoint is damaged, or they are of another model.
    """
    damaged = []
    while (step := self._manager.latest_step()) is not None:
      try:
        return self._read(step, like)
      except Exception as error:  # Whatever a broken file makes its readers raise.
        if mismatch := self._mismatch(step, like):
          raise UserError(f"the checkpoints in {self.folder} are of another model: {mismatch}.") from error
        aside = self.folder.parent / "damaged" / str(step)
        shutil.rmtree(aside, ignore_errors=True)
        self._manager.close()
        aside.parent.mkdir(exist_ok=True)
        shutil.move(self.folder / str(step), aside)
        damaged.append(step)
        self._open()
        reason = str(error).strip().split("\n")[0][:120]
        earlier = self._manager.latest_step()
        then = "no earlier one is left" if earlier is None else f"going back to step {earlier}"
        say(f"checkpoint {step} is damaged ({reason}); moved to {aside}, {then}.")
    if damaged:
      raise UserError(f"every checkpoint in {self.folder} is damaged; remove the folder to start anew.")
    return None

  def _read(self, step: int, like: State) -> tuple[State, Any]:
    items = ocp.args.Composite(state=ocp.args.StandardRestore(like), rest=ocp.args.JsonRestore())
    found = self._manager.restore(step, args=items)
    if fingerprint(found.state) != found.rest["fingerprint"]:
      raise ValueError("its bits have changed since it was written")
    return found.state, found.rest["data"]

  def _mismatch(self, step: int, like: State) -> str | None:
    """The first array whose shape differs from the checkpoint's, if its description can be read."""
    try:
      saved = self._manager.item_metadata(step).state.tree["params"]
    except Exception:
      return None
    leaves = jax.tree_util.tree_leaves_with_path
    shapes = {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves(saved)}
    wanted = {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves(like.params)}
    for name in sorted(shapes | wanted):
      if shapes.get(name) != wanted.get(name):
        return f"{name} is {shapes.get(name, 'absent')} there and {wanted.get(name, 'absent')} here"
    return None

  def close(self) -> None:
    """Waits for the save under way."""
    self._manager.wait_until_finished()
    self._manager.close()


def newest_state(folder: Path) -> dict[str, Any]:
  """The whole state of a run's newest checkpoint, as plain dictionaries of arrays on one device.

  Raises:
    UserError: `folder` holds no run with a checkpoint.
  """
  folder = Path(folder).absolute()
  if not (folder / "config.json").is_file() or not (folder / "checkpoints").is_dir():
    raise UserError(f"no run in {folder}: it should hold config.json and checkpoints.")
  with _manager(folder / "checkpoints") as manager:
    step = manager.latest_step()
    if step is None:
      raise UserError(f"the run in {folder} has no checkpoint yet.")
    saved = manager.item_metadata(step).state.tree
    device = SingleDeviceSharding(jax.devices()[0])
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), saved)
    return manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like))).state


def newest_ema(folder: Path) -> tuple[Any, dict[str, Any]]:
  """(averaged parameters of the newest checkpoint, config) of a run; raises as `newest_state`."""
  state = newest_state(folder)
  return state["ema"], json.loads((Path(folder) / "config.json").read_text())
