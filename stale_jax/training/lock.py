"""The lock of a run's folder: only one run at a time trains in a folder.

On a disk, the lock is an exclusive `flock` on the file `lock`. The kernel releases it as soon as the process
ends, however it ends. The file stays.

On NFS, Linux forwards `flock` to the server, so the lock also holds between machines. If the machine of a run
crashes, the server releases its lock after the lease time (NFSv4, usually 90 seconds) or when the machine is
back (NFSv3). Mounted with `nolock` or `local_lock`, it holds only between processes of one machine. On a file
system without locks, training prints a line and goes on without the lock.

In a bucket, which has no locks, the lock is a lease (`training.lease`).
"""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, is_address, make_folder
from stale_jax.hosts import leads, meet
from stale_jax.training.lease import Lease

# Seconds in which a former holder may end: a killed process that holds much memory does not end at once.
_GRACE = 5.0
_POLL = 0.2
# Error numbers of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


class Lock(Protocol):
  """A lock of a folder."""

  def acquire(self, name: str) -> str | None:
    """Acquires the lock for the process `name`; returns the name of its holder if that is another process."""

  def lost_to(self) -> str | None:
    """The name of the process that has taken the lock over, or None if this process still holds it."""

  def release(self) -> None:
    """Lets another process acquire the lock."""


@contextlib.contextmanager
def locked(folder: AnyPath, say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
  """Holds the lock of a run's folder, which is created. All processes of the run must enter the context.

  Process 0 holds the lock for all of them. If the lock is refused, the others end with process 0 (see
  `hosts.join_processes`).

  Args:
    folder: the run's folder.
    say: prints a line for the user.

  Yields:
    A function that raises UserError if another run has taken over the folder. It must be called before a
    checkpoint is written.

  Raises:
    UserError: another run holds the lock, or the folder cannot be written.
  """
  if not leads():
    meet()
    yield lambda: None
    return
  folder = make_folder(folder)
  lock = Lease(folder, say) if is_address(folder) else FileLock(folder, say)
  if other := lock.acquire(f"process {os.getpid()} on {socket.gethostname()}"):
    raise UserError(
      f"a run is in progress in {folder} ({other}): wait until it ends, or choose another --workdir."
    )

  def check() -> None:
    if other := lock.lost_to():
      raise UserError(
        f"this run could not reach {folder} for some time, and another run has taken it over ({other})."
      )

  try:
    meet()
    yield check
  finally:
    lock.release()


class FileLock:
  """A lock of a folder on a disk; see `Lock`.

  Args:
    folder: the folder.
    say: prints a line for the user.
    grace: seconds to wait for another holder to end.
  """

  def __init__(self, folder: AnyPath, say: Callable[[str], None], grace: float = _GRACE):
    self._folder, self._say, self._grace = folder, say, grace

  def acquire(self, name: str) -> str | None:
    """See `Lock`; raises UserError if the file of the lock cannot be written."""
    path = self._folder / "lock"
    try:
      self._file = open(path, "a+")
    except OSError as error:
      raise UserError(f"cannot write {path}: {error.strerror}.") from error
    end = time.monotonic() + self._grace
    while not self._try():
      if time.monotonic() > end:
        self._file.seek(0)
        other = self._file.readline(200).strip()
        self._file.close()
        return other or "another process"
      time.sleep(_POLL)
    with contextlib.suppress(OSError):  # On a full disk the lock has no name.
      self._file.truncate(0)
      self._file.write(f"{name}\n")
      self._file.flush()
    return None

  def _try(self) -> bool:
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      return False
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise UserError(f"cannot lock {self._folder / 'lock'}: {error.strerror}.") from error
      self._say(f"the file system of {self._folder} has no locks: start no second run in this folder.")
    return True

  def lost_to(self) -> str | None:
    """Returns None: a lock on a disk cannot be taken over."""
    return None

  def release(self) -> None:
    """See `Lock`."""
    with contextlib.suppress(OSError):  # On a full disk the name of the process may still be in a buffer.
      self._file.close()
