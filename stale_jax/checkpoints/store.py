"""Checkpoints of a run: written asynchronously and atomically, and verified when they are read.

A checkpoint holds the training state, the state of the data iterator, and a fingerprint of both. Orbax
renames a finished checkpoint into place, so a kill never leaves an incomplete one. The fingerprint detects
checkpoints that were damaged later.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from stale_jax.checkpoints.convert import is_unstacked
from stale_jax.checkpoints.damage import DamageError, check_files, check_record, decoding, is_damage, reason
from stale_jax.checkpoints.fingerprint import fingerprint, word_sums
from stale_jax.checkpoints.fit import difference
from stale_jax.checkpoints.items import open_manager, restoring, saving
from stale_jax.checkpoints.reading import unreadable
from stale_jax.errors import UserError
from stale_jax.files import FULL, AnyPath, absolute
from stale_jax.hosts import all_agree, leads
from stale_jax.training.state import State

# Seconds after which a save counts as failed. Writing 227 GB, the training state of 14B parameters, from one
# host at 100 MB/s takes 38 minutes.
PATIENCE = 3600.0
_NEVER = 10 * 365 * 86400


class Checkpointer:
  """The checkpoints of one run.

  Args:
    folder: the run's folder; checkpoints are in its subfolder `checkpoints`.
    keep: number of checkpoints to keep; older ones are deleted.
    patience: maximum seconds per save, on a monotonic clock.

  Raises:
    UserError: the folder cannot be written.
  """

  def __init__(self, folder: AnyPath, keep: int = 3, patience: float = PATIENCE):
    self._patience = patience
    self.folder = absolute(folder) / "checkpoints"
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise UserError(f"cannot write to {folder}: {error.strerror}. Choose another --workdir.") from error
    self._keep = keep
    self._open()

  def _open(self):
    # Orbax limits the time of a save by the wall clock, and gives up if that clock is set forward. Its limit
    # is therefore disabled, and `_wait` has its own. Directories are created synchronously; otherwise a save
    # would wait for a signal that they exist.
    async_options = ocp.AsyncOptions(timeout_secs=_NEVER, create_directories_asynchronously=False)
    options = ocp.CheckpointManagerOptions(
      max_to_keep=self._keep, enable_async_checkpointing=True, async_options=async_options
    )
    self._manager = open_manager(self.folder, options)

  def latest(self) -> int | None:
    """The step of the newest finished checkpoint, or None."""
    return self._manager.latest_step()

  def prepare(self, state: State) -> None:
    """Compiles the computations of a save, so that the first save does not take longer than the others."""
    word_sums(_parts(state))

  def save(self, step: int, state: State, data: Any) -> None:
    """Starts to save a checkpoint in the background.

    Args:
      step: number of completed updates.
      state: the training state.
      data: the state of the data iterator, as JSON.

    Raises:
      UserError: the disk is full (now, or during the previous save), or the previous save did not finish
        within `patience` seconds.
    """
    if step == self._manager.latest_step():
      return
    # The training loop disallows copies from the device; this one is intended.
    with jax.transfer_guard("allow"), self._room():
      self._wait()
      parts = _parts(state)
      sums = word_sums(parts)
      rest = {"data": data, "fingerprint": fingerprint(sums, data), "sums": sums}
      self._manager.save(step, args=saving(parts, rest))

  def _wait(self) -> None:
    """Waits for the current save. Raises its error, if any, or UserError after `patience` seconds."""
    done: Future[None] = Future()

    def wait():
      try:
        self._manager.wait_until_finished()
        done.set_result(None)
      except BaseException as error:
        done.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    try:
      done.result(self._patience)
    except TimeoutError:
      if done.done():  # The save itself raised it.
        raise
      raise UserError(
        f"the save to {self.folder} did not finish within {self._patience:g} s; check the storage."
      ) from None

  @contextlib.contextmanager
  def _room(self) -> Iterator[None]:
    """Converts the error of a full disk to a UserError that names the last complete checkpoint."""
    try:
      yield
    except Exception as error:  # Orbax and TensorStore wrap the system's errors in various types.
      if not any(os.strerror(number) in str(error) for number in FULL):
        raise
      steps = [int(path.name) for path in self.folder.iterdir() if path.name.isdigit()]
      left = (
        f"step {max(steps)} is the last complete checkpoint" if steps else "no checkpoint was saved before"
      )
      why = next(os.strerror(number) for number in FULL if os.strerror(number) in str(error))
      raise UserError(f"cannot save to {self.folder}: {why}; {left}.") from error

  def restore(self, like: State, say: Callable[[str], None] = logging.warning) -> tuple[State, Any] | None:
    """Reads the newest undamaged checkpoint.

    A damaged checkpoint is moved out of the folder, which `say` reports. If the newest checkpoint cannot be
    read for another reason, it stays in place and no earlier one is tried, because the training since then
    would be lost.

    Args:
      like: a state with the shapes and shardings to restore to.
      say: prints a line for the user.

    Returns:
      The state and the state of the data iterator, or None if there is no checkpoint.

    Raises:
      UserError: every checkpoint is damaged, the newest one cannot be read, or it was written by another
        model or optimizer.
    """
    while (step := self._manager.latest_step()) is not None:
      try:
        parts, data = _read(self._manager, self.folder, step, _parts(like))
        return like.replace(**parts), data
      except Exception as error:
        if not is_unstacked(like.params) and self._is_unstacked(step):
          raise UserError(
            f"the checkpoints in {self.folder} are of an older version, whose optimizer state cannot be "
            "resumed; to continue from their averaged weights, start a new run with "
            f"training.init_from={self.folder.parent}."
          ) from error
        if mismatch := self._mismatch(step, like):
          raise UserError(
            f"the checkpoints in {self.folder} are of another run: {mismatch}; choose another --workdir."
          ) from error
        if not is_damage(error):
          raise UserError(unreadable(self.folder, step, error)) from error
        aside = self.folder.parent / f"damaged_{step}"
        self._manager.close()
        if leads():
          if aside.exists():
            aside.rmtree()
          (self.folder / str(step)).rename(aside)
        all_agree(True)  # Wait until process 0 has moved it.
        self._open()
        earlier = self._manager.latest_step()
        then = "there is no earlier one" if earlier is None else f"going back to step {earlier}"
        say(f"checkpoint {step} is damaged ({reason(error)}); moved to {aside}, {then}.")
    if any(self.folder.parent.glob("damaged_*")):
      raise UserError(
        f"every checkpoint of {self.folder.parent} is damaged; choose another --workdir, or delete it."
      )
    return None

  def _is_unstacked(self, step: int) -> bool:
    """Whether the checkpoint has the old layout; False if its metadata cannot be read."""
    try:
      return is_unstacked(self._manager.item_metadata(step).state.tree["params"])
    except Exception:  # A broken file can raise any error in Orbax.
      return False

  def _mismatch(self, step: int, like: State) -> str | None:
    """The first difference in shape between the checkpoint and `like`, as text; None if there is none.

    Also None if the metadata of the checkpoint cannot be read.
    """
    try:
      saved = self._manager.item_metadata(step).state.tree
    except Exception:
      return None
    return difference(saved, _parts(like), "the checkpoint", "this run")

  def close(self) -> None:
    """Waits for the current save and closes the manager."""
    with self._room():
      self._wait()
      self._manager.close()


def _read(manager: ocp.CheckpointManager, folder: epath.Path, step: int, like: Any) -> tuple[Any, Any]:
  """Reads and verifies a checkpoint; all processes of the run must call this.

  Returns:
    The parts of the state, in the structure of `like`, and the state of the data iterator.

  Raises:
    DamageError: the checkpoint is damaged, or another process found that it is.
    OSError: another process cannot read it.
  """
  items = ocp.args.Composite(state=restoring(like), rest=ocp.args.JsonRestore())
  restored, failure = None, None
  try:
    check_files(folder / str(step))
    with decoding("state/_METADATA"):
      manager.item_metadata(step)
    restored = manager.restore(step, args=items)
    check_record(restored.rest)
  except Exception as error:
    failure = error
  is_readable = all_agree(failure is None or is_damage(failure))
  is_whole = all_agree(failure is None)
  # All processes raise the same kind of error: those with a DamageError move the checkpoint together.
  if not is_readable:
    elsewhere = OSError(errno.EIO, "another process cannot read it")
    raise elsewhere if failure is None or is_damage(failure) else failure
  if failure is not None:
    raise failure
  if not is_whole:
    raise DamageError("another process finds it damaged")
  if fingerprint(word_sums(restored.state), restored.rest["data"]) != restored.rest["fingerprint"]:
    raise DamageError("its bits have changed since it was written")
  return restored.state, restored.rest["data"]


def _parts(state: State) -> dict[str, Any]:
  """The fields of the state that a checkpoint stores: all that hold arrays, except `base`."""
  return {name: x for name, x in vars(state).items() if name != "base" and jax.tree.leaves(x)}
