"""The lock of a folder in a bucket: a lease, which its holder renews, and which expires when the holder dies.

The lease is the object `lock` in the folder. It is written only on condition that its generation, which
changes with each write, is still the one that was read. Of several processes that create it, renew it or take
it over at the same time, only one therefore succeeds.

A process that finds a lease watches its generation. If it changes, the holder is alive. If it stays the same
for `expiry` seconds, the holder is dead, and the process takes over the lease. Only the monotonic clock of
this process is used, so the clocks of machines need not agree.
"""

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable

import tensorstore

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, one_line

_KEY = "lock"
_ANSWER = 30.0  # Seconds within which the bucket must answer.


class Lease:
  """A lock of a folder in a bucket; see `training.lock.Lock`.

  Args:
    folder: the folder, gs://BUCKET/FOLDER.
    say: prints a line for the user.
    renewal: seconds between two renewals.
    expiry: seconds without a renewal after which a lease has expired.
  """

  def __init__(
    self, folder: AnyPath, say: Callable[[str], None], renewal: float = 10.0, expiry: float = 40.0
  ):
    self._folder, self._say, self._renewal, self._expiry = folder, say, renewal, expiry
    bucket, _, path = str(folder).removeprefix("gs://").partition("/")
    spec = {"driver": "gcs", "bucket": bucket, "path": path.rstrip("/") + "/"}
    self._store = tensorstore.KvStore.open(spec).result(_ANSWER)
    self._id = uuid.uuid4().hex
    self._writing, self._released = threading.Lock(), threading.Event()
    self._thread = threading.Thread(target=self._keep_renewing, daemon=True)

  def acquire(self, name: str) -> str | None:
    """See `Lock`; raises UserError if the bucket cannot be read or written.

    An expired lease is taken over. Until it expires, this waits.
    """
    self._content = json.dumps({"holder": name, "id": self._id}).encode()
    self._taken_by = None
    try:
      other = self._acquire()
    except Exception as error:  # TensorStore raises several types.
      raise UserError(f"cannot write {self._folder}/{_KEY}: {one_line(error)}.") from error
    if other is None:
      self._thread.start()
    return other

  def _acquire(self) -> str | None:
    watched, since, is_told = None, 0.0, False
    while True:
      found = self._store.read(_KEY).result(_ANSWER)
      age = time.monotonic() - since
      has_expired = found.stamp.generation == watched and age > self._expiry
      if self._is_free(found) or has_expired:
        if self._write(found.stamp.generation):
          return None
      elif watched is None:
        watched, since = found.stamp.generation, time.monotonic()
      elif found.stamp.generation != watched:
        return _holder(found.value)
      elif not is_told and age > 1.5 * self._renewal:
        self._say(
          f"the last run in {self._folder} ({_holder(found.value)}) was killed: waiting "
          f"{max(self._expiry - age, 0):.0f} s for its lock to expire."
        )
        is_told = True
      time.sleep(self._renewal / 10)

  def _is_free(self, found: tensorstore.KvStore.ReadResult) -> bool:
    """Whether there is no lease, or that of this process: the answer to a write was lost."""
    return found.state == "missing" or found.value == self._content

  def _write(self, generation: bytes) -> bool:
    """Writes the lease if it still has this generation; returns whether it is now that of this process."""
    begun = time.monotonic()
    written = self._store.write(_KEY, self._content, if_equal=generation).result(_ANSWER).generation
    if not written:
      return False
    self._generation, self._renewed = written, begun
    return True

  def _renew(self) -> None:
    """Renews the lease, or finds that another process has taken it over."""
    with self._writing:
      if self._released.is_set() or self._taken_by or self._write(self._generation):
        return
      found = self._store.read(_KEY).result(_ANSWER)
      if self._is_free(found):
        self._write(found.stamp.generation)
      else:
        self._taken_by = _holder(found.value)

  def _keep_renewing(self) -> None:
    while not self._released.wait(self._renewal):
      with contextlib.suppress(Exception):  # The next renewal may succeed.
        self._renew()

  def lost_to(self) -> str | None:
    """See `Lock`."""
    # This process may have been halted for some time, and another may have taken over the expired lease.
    if time.monotonic() - self._renewed > self._expiry:
      with contextlib.suppress(Exception):  # The bucket cannot be reached, which the save will report.
        self._renew()
    return self._taken_by

  def release(self) -> None:
    """See `Lock`."""
    self._released.set()
    with self._writing, contextlib.suppress(Exception):  # It expires.
      self._store.write(_KEY, None, if_equal=self._generation).result(_ANSWER)


def _holder(content: bytes) -> str:
  """The name of the process that wrote a lease."""
  try:
    return str(json.loads(content)["holder"])
  except (ValueError, KeyError, TypeError):
    return "another process"
