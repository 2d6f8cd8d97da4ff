"""Checkpoints that survive anything: asynchronous, whole or absent, verified when read.

Each holds the training state, the data iterator's state and a fingerprint of the former.
Orbax renames a finished checkpoint into place, so that a kill leaves none half-written;
the fingerprint finds the ones that were damaged afterwards.
"""

import contextlib
import errno
import logging as python_logging
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
from stale_jax.checkpoints.items import open_manager, restoring, saving
from stale_jax.checkpoints.reading import unreadable
from stale_jax.errors import UserError
from stale_jax.files import FULL, AnyPath, absolute
from stale_jax.hosts import all_agree, leads
from stale_jax.mesh import path_name
from stale_jax.training.state import State

# Seconds after which a save counts as failed. Writing 227 GB, a training state of 14B parameters, from one
# host at 100 MB/s takes 38 minutes.
PATIENCE = 3600.0
_NEVER = 10 * 365 * 86400


# What fails in a save is told once, by the error it ends in: not also by Orbax, with a trace for each thread
# and each array that it was writing.
python_logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
python_logging.getLogger("asyncio").addFilter(lambda record: "orbax" not in record.getMessage())


class Checkpointer:
  """The checkpoints of one run.

  Args:
    folder: of the run; they lie in its `checkpoints`.
    keep: how many of the newest stay.
    patience: seconds that a save may take, by a clock that nobody sets.

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
    # Orbax times its saves by the wall clock, and gives up those during which it is set forward: so its own
    # limit is out of reach, and `_wait` has another. Nothing waits for a signal that directories exist.
    patient = ocp.AsyncOptions(timeout_secs=_NEVER, create_directories_asynchronously=False)
    options = ocp.CheckpointManagerOptions(
      max_to_keep=self._keep, enable_async_checkpointing=True, async_options=patient
    )
    self._manager = open_manager(self.folder, options)

  def latest(self) -> int | None:
    """The newest finished checkpoint's step."""
    return self._manager.latest_step()

  def prepare(self, state: State) -> None:
    """Compiles what a save asks of the device, so that the first holds nobody up for longer than others."""
    word_sums(_parts(state))

  def save(self, step: int, state: State, data: Any) -> None:
    """Begins to save in the background; `data` is the iterator's state, as JSON.

    Raises:
      UserError: there is no room for this checkpoint, or was none for the one before; or that one is not
        written after `patience` seconds.
    """
    if step == self._manager.latest_step():
      return
    # The loop forbids copies from the device; this one is meant.
    with jax.transfer_guard("allow"), self._room():
      self._wait()
      parts = _parts(state)
      sums = word_sums(parts)
      rest = {"data": data, "fingerprint": fingerprint(sums, data), "sums": sums}
      self._manager.save(step, args=saving(parts, rest))

  def _wait(self) -> None:
    """Waits for the save under way; raises what it raised, or UserError after `patience` seconds."""
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
      if done.done():  # One of the save's own.
        raise
      raise UserError(
        f"the checkpoint in {self.folder} is not written after {self._patience:g} s: check the storage."
      ) from None

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
      why = next(os.strerror(number) for number in FULL if os.strerror(number) in str(error))
      raise UserError(f"cannot save to {self.folder}: {why}; {left}.") from error

  def restore(self, like: State, say: Callable[[str], None] = logging.warning) -> tuple[State, Any] | None:
    """The newest undamaged state, in the shapes and shardings of `like`, and its data state.

    A damaged checkpoint is moved aside, and `say` says so. If the newest one cannot be read for another
    reason, it stays, and no earlier one is tried: the training after that would be lost.

    Returns:
      None if there is no checkpoint at all.

    Raises:
      UserError: every checkpoint is damaged, the newest cannot be read, or is of another model or optimizer.
    """
    while (step := self._manager.latest_step()) is not None:
      try:
        parts, data = _read(self._manager, self.folder, step, _parts(like))
        return like.replace(**parts), data
      except Exception as error:
        if not is_unstacked(like.params) and self._is_unstacked(step):
          raise UserError(
            f"the checkpoints in {self.folder} are of an older version, whose optimizer state cannot be "
            "resumed; to train on from their averaged weights, start a new run with "
            f"training.init_from={self.folder.parent}."
          ) from error
        if mismatch := self._mismatch(step, like):
          raise UserError(f"the checkpoints in {self.folder} are of another run: {mismatch}.") from error
        if not is_damage(error):
          raise UserError(unreadable(self.folder, step, error)) from error
        aside = self.folder.parent / f"damaged_{step}"
        self._manager.close()
        if leads():
          if aside.exists():
            aside.rmtree()
          (self.folder / str(step)).rename(aside)
        all_agree(True)  # That it is done.
        self._open()
        earlier = self._manager.latest_step()
        then = "no earlier one is left" if earlier is None else f"going back to step {earlier}"
        say(f"checkpoint {step} is damaged ({reason(error)}); moved to {aside}, {then}.")
    if any(self.folder.parent.glob("damaged_*")):
      raise UserError(f"every checkpoint in {self.folder} is damaged; remove the folder to start anew.")
    return None

  def _is_unstacked(self, step: int) -> bool:
    """Whether the checkpoint has the former layout, as far as its description can be read."""
    try:
      return is_unstacked(self._manager.item_metadata(step).state.tree["params"])
    except Exception:  # Whatever a broken file makes its readers raise.
      return False

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
      self._wait()
      self._manager.close()


def _read(manager: ocp.CheckpointManager, folder: epath.Path, step: int, like: Any) -> tuple[Any, Any]:
  """(state in the structure of `like`, the state of the iterator).

  Raises:
    DamageError: a bit of them has changed, or another process found the checkpoint damaged.
    OSError: another process cannot read it.
  """
  items = ocp.args.Composite(state=restoring(like), rest=ocp.args.JsonRestore())
  found, failure = None, None
  try:
    check_files(folder / str(step))
    with decoding("state/_METADATA"):
      manager.item_metadata(step)
    found = manager.restore(step, args=items)
    check_record(found.rest)
  except Exception as error:
    failure = error
  readable = all_agree(failure is None or is_damage(failure))
  whole = all_agree(failure is None)
  if not readable:  # In all processes, or some would wait for the others to move it aside.
    told = OSError(errno.EIO, "another process cannot read it")
    raise told if failure is None or is_damage(failure) else failure
  if failure is not None:
    raise failure
  if not whole:
    raise DamageError("another process finds it damaged")
  if fingerprint(word_sums(found.state), found.rest["data"]) != found.rest["fingerprint"]:
    raise DamageError("its bits have changed since it was written")
  return found.state, found.rest["data"]


def _parts(state: State) -> dict[str, Any]:
  """The fields that hold anything: one that a run does not use is not looked for in its checkpoints."""
  return {name: value for name, value in vars(state).items() if jax.tree.leaves(value)}


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {path_name(path): tuple(leaf.shape) for path, leaf in leaves}
