"""Checkpoints that survive anything: asynchronous, whole or absent, verified when read.

Each holds the training state, the data iterator's state and a fingerprint of the former.
Orbax renames a finished checkpoint into place, so that a kill leaves none half-written;
the fingerprint finds the ones that were damaged afterwards.
"""

import contextlib
import json
import logging as python_logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from jax.sharding import SingleDeviceSharding

from stale_jax.checkpoints.weights import NAMED, load_weights
from stale_jax.errors import UserError
from stale_jax.files import FULL, absolute, at
from stale_jax.hosts import all_agree, leads
from stale_jax.mesh import path_name
from stale_jax.training.state import State, fingerprint


def _manager(folder: Path, options: ocp.CheckpointManagerOptions | None = None) -> ocp.CheckpointManager:
  handlers = {"state": ocp.StandardCheckpointHandler(), "rest": ocp.JsonCheckpointHandler()}
  return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)


# What fails in a save is told once, by the error it ends in: not also by Orbax, with a trace for each thread
# and each array that it was writing.
python_logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
python_logging.getLogger("asyncio").addFilter(lambda record: "orbax" not in record.getMessage())


class Checkpointer:
  """The checkpoints of one run.

  Args:
    folder: of the run; they lie in its `checkpoints`.
    keep: how many of the newest stay.

  Raises:
    UserError: the folder cannot be written.
  """

  def __init__(self, folder: Path, keep: int = 3):
    self.folder = absolute(folder) / "checkpoints"
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise UserError(f"cannot write to {folder}: {error.strerror}. Choose another --workdir.") from error
    self._keep = keep
    self._open()

  def _open(self):
    # Orbax times its saves by the wall clock, and gives up those in which somebody sets it forward: so these
    # may take ten years, and none waits for a signal that its directories are there.
    patient = ocp.AsyncOptions(timeout_secs=10 * 365 * 86400, create_directories_asynchronously=False)
    options = ocp.CheckpointManagerOptions(
      max_to_keep=self._keep, enable_async_checkpointing=True, async_options=patient
    )
    self._manager = _manager(self.folder, options)

  def latest(self) -> int | None:
    """The newest finished checkpoint's step."""
    return self._manager.latest_step()

  def prepare(self, state: State) -> None:
    """Compiles what a save asks of the device, so that the first holds nobody up for longer than others."""
    fingerprint(state, None)

  def save(self, step: int, state: State, data: Any) -> None:
    """Begins to save in the background; `data` is the iterator's state, as JSON.

    Raises:
      UserError: there is no room for this checkpoint, or was none for the one before.
    """
    if step == self._manager.latest_step():
      return
    # The loop forbids copies from the device; this one is meant.
    with jax.transfer_guard("allow"), self._room():
      rest = {"data": data, "fingerprint": fingerprint(state, data)}
      items = ocp.args.Composite(state=ocp.args.StandardSave(_parts(state)), rest=ocp.args.JsonSave(rest))
      self._manager.save(step, args=items)

  @contextlib.contextmanager
  def _room(self) -> Iterator[None]:
    """Names the checkpoint that is left when the disk is full."""
    try:
      yield
    except Exception as error:  # Orbax and TensorStore wrap the system's errors in several of their own.
      if not any(os.strerror(number) in str(error) for number in FULL):
        raise
      steps = [int(path.name) for path in self.folder.iterdir() if path.name.isdigit()]
      left = (
        f"step {max(steps)} is the last that was saved, and whole" if steps else "nothing was saved before"
      )
      reason = next(os.strerror(number) for number in FULL if os.strerror(number) in str(error))
      raise UserError(f"cannot save to {self.folder}: {reason}; {left}.") from error

  def restore(self, like: State, say: Callable[[str], None] = logging.warning) -> tuple[State, Any] | None:
    """The newest undamaged state, in the shapes and shardings of `like`, and its data state.

    A damaged checkpoint is moved aside, and `say` says so.

    Returns:
      None if there is no checkpoint at all.

    Raises:
      UserError: every checkpoint is damaged, may not be read, or is of another model or optimizer.
    """
    while (step := self._manager.latest_step()) is not None:
      try:
        parts, data = _read(self._manager, step, _parts(like), all_agree)
        return like.replace(**parts), data
      except PermissionError as error:
        raise UserError(f"cannot read {self.folder}: {error.strerror}.") from error
      except Exception as error:  # Whatever a broken file makes its readers raise.
        if mismatch := self._mismatch(step, like):
          raise UserError(f"the checkpoints in {self.folder} are of another run: {mismatch}.") from error
        aside = self.folder.parent / f"damaged_{step}"
        self._manager.close()
        if leads():
          if aside.exists():
            aside.rmtree()
          (self.folder / str(step)).rename(aside)
        all_agree(True)  # That it is done.
        self._open()
        reason = str(error).strip().split("\n")[0][:120]
        earlier = self._manager.latest_step()
        then = "no earlier one is left" if earlier is None else f"going back to step {earlier}"
        say(f"checkpoint {step} is damaged ({reason}); moved to {aside}, {then}.")
    if any(self.folder.parent.glob("damaged_*")):
      raise UserError(f"every checkpoint in {self.folder} is damaged; remove the folder to start anew.")
    return None

  def _mismatch(self, step: int, like: State) -> str | None:
    """What differs between `like` and the checkpoint's shapes, if its description can be read."""
    try:
      saved = _shapes(self._manager.item_metadata(step).state.tree)
    except Exception:
      return None
    wanted = _shapes(_parts(like))
    # Parameters first: of another model the optimizer's state differs, too.
    for name in sorted(saved | wanted, key=lambda name: (not name.startswith("params"), name)):
      if saved.get(name) != wanted.get(name):
        return f"{name} is {saved.get(name, 'absent')} there and {wanted.get(name, 'absent')} here"
    return None

  def close(self) -> None:
    """Waits for the save under way."""
    with self._room():
      self._manager.wait_until_finished()
      self._manager.close()


def _read(
  manager: ocp.CheckpointManager, step: int, like: Any, all_agree: Callable[[bool], bool] = bool
) -> tuple[Any, Any]:
  """(state in the structure of `like`, the iterator's state); raises ValueError if a bit of them changed."""
  items = ocp.args.Composite(state=ocp.args.StandardRestore(like), rest=ocp.args.JsonRestore())
  try:
    found = manager.restore(step, args=items)
  except Exception:
    all_agree(False)
    raise
  if not all_agree(True):
    raise ValueError("another process cannot read it")
  if fingerprint(found.state, found.rest["data"]) != found.rest["fingerprint"]:
    raise ValueError("its bits have changed since it was written")
  return found.state, found.rest["data"]


def _parts(state: State) -> dict[str, Any]:
  """The fields that hold anything: one that a run does not use is not looked for in its checkpoints."""
  return {name: value for name, value in vars(state).items() if jax.tree.leaves(value)}


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {path_name(path): tuple(leaf.shape) for path, leaf in leaves if hasattr(leaf, "shape")}


def newest_state(folder: Path) -> dict[str, Any]:
  """The whole state of a run's newest undamaged checkpoint, as plain dictionaries of arrays on one device.

  Nothing is moved: the run may be going on.

  Raises:
    UserError: `folder` holds no run with an undamaged checkpoint.
  """
  folder = absolute(folder)
  if not (folder / "config.json").is_file() or not (folder / "checkpoints").is_dir():
    raise UserError(f"no run in {folder}: it should hold config.json and checkpoints.")
  with _manager(folder / "checkpoints") as manager:
    steps = sorted(manager.all_steps(), reverse=True)
    if not steps:
      raise UserError(f"the run in {folder} has no checkpoint yet.")
    device = SingleDeviceSharding(jax.local_devices()[0])
    for step in steps:
      try:
        saved = manager.item_metadata(step).state.tree
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), saved)
        return _read(manager, step, like)[0]
      except Exception as error:  # Whatever a broken file makes its readers raise.
        logging.error("checkpoint %d of %s cannot be read: %s", step, folder, str(error).split("\n")[0][:120])
  raise UserError(f"every checkpoint in {folder} is damaged.")


def model_at(name: str | Path) -> tuple[Any, dict[str, Any]]:
  """(averaged parameters, config) of a run's folder, a weights file or, by name (`NAMED`), the package's own.

  Raises:
    UserError: there is no model of that name.
  """
  path = NAMED.get(name) or at(name)
  return newest_ema(path) if path.is_dir() else load_weights(path)


def newest_ema(folder: Path) -> tuple[Any, dict[str, Any]]:
  """(averaged parameters of the newest checkpoint, config) of a run; raises as `newest_state`."""
  state = newest_state(folder)
  return state["ema"], read_config(epath.Path(folder) / "config.json")


def read_config(path: Path) -> dict[str, Any]:
  """A run's config; raises UserError if it cannot be read."""
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise UserError(f"cannot read {path}: {error}") from error
