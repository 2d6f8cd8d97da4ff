"""Files that are there whole or not at all, on a disk or at an address (gs://BUCKET/FOLDER)."""

import contextlib
import errno
import functools
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from etils import epath

from stale_jax.errors import UserError

# On a disk, or an address.
AnyPath = Path | epath.Path
# Numbers of the errors that mean: no room for it.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Seconds in which a bucket is to answer; without network its client tries for minutes.
_PATIENCE = 30.0


def cache_folder() -> Path:
  """The folder of what can be computed again: $XDG_CACHE_HOME/stale_jax, by default ~/.cache/stale_jax."""
  return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stale_jax"


def at(place: str | AnyPath) -> epath.Path:
  """`place` as a path that does not depend on the working directory: a local one, or gs://BUCKET/FOLDER.

  Raises:
    UserError: another kind of address, or a bucket that does not answer.
  """
  if not is_address(place):
    return absolute(place)
  scheme, _, within = os.fspath(place).partition("://")
  bucket, _, folder = within.partition("/")
  if scheme != "gs" or not bucket or not folder:
    raise UserError(f"{place}: an address is written gs://BUCKET/FOLDER; else give a path on a disk.")
  try:
    import gcsfs  # noqa: F401
  except ImportError as error:
    raise UserError(f"{place}: Google Cloud Storage is spoken to by gcsfs; pip install gcsfs.") from error
  # It warns where it falls back on asking without credentials; what comes of that is told below.
  logging.getLogger("gcsfs").setLevel(logging.ERROR)
  _reach(epath.Path(f"gs://{bucket}"))
  return epath.Path(place)


def absolute(place: str | AnyPath) -> epath.Path:
  """`place`, no longer relative; an address, which epath's own method takes for a relative path, as it is."""
  place = epath.Path(place)
  return place if is_address(place) else place.absolute()


def is_address(place: str | AnyPath) -> bool:
  """Whether `place` is not on a disk."""
  return "://" in os.fspath(place)


@functools.cache  # Once it has answered it is not asked again.
def _reach(bucket: epath.Path) -> None:
  """Raises UserError if `bucket` does not exist or does not answer in time."""
  said = []

  def ask():
    try:
      said.append(None if bucket.exists() else "there is no such bucket, or it is not yours to see")
    except Exception as error:  # Whatever network, credentials and client have to say.
      said.append(" ".join(str(error).split())[:200] or type(error).__name__)

  asking = threading.Thread(target=ask, daemon=True)
  asking.start()
  asking.join(_PATIENCE)
  reason = said[0] if said else f"no answer in {_PATIENCE:.0f} seconds"
  if reason is not None:
    raise UserError(f"cannot reach {bucket}: {reason}.")


def make_folder(folder: str | AnyPath) -> epath.Path:
  """Creates `folder` if need be; raises UserError if it cannot be written."""
  folder = epath.Path(folder)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    if not is_address(folder):
      with tempfile.TemporaryFile(dir=folder):
        pass
  except OSError as error:
    raise UserError(f"cannot write to {folder}: {error.strerror}. Choose another folder.") from error
  return folder


def write_whole(path: str | AnyPath, data: str | bytes) -> None:
  """Writes a file so that it is there whole or not at all; raises UserError if it cannot be written."""
  path, data = epath.Path(path), data.encode() if isinstance(data, str) else data
  if is_address(path):  # What is put there appears when all of it has come.
    try:
      path.write_bytes(data)
    except Exception as error:  # The client's are many.
      raise UserError(f"cannot write {path}: {' '.join(str(error).split())[:200]}.") from error
    return
  partial = path.with_name(path.name + ".partial")
  try:
    partial.write_bytes(data)
    os.replace(partial, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      partial.unlink()
    raise UserError(f"cannot write {path}: {error.strerror}.") from error


@contextlib.contextmanager
def local_copy(path: str | AnyPath) -> Iterator[Path]:
  """The file at `path`, for those that read disks only: a copy, while the context lasts, of one elsewhere."""
  path = epath.Path(path)
  if not is_address(path):
    yield Path(path)
    return
  with tempfile.TemporaryDirectory() as folder:
    copy = Path(folder) / path.name
    copy.write_bytes(path.read_bytes())
    yield copy


class Written:
  """A folder for those that append, or write to disks only: `folder` itself, or a copy if it is an address.

  Attributes:
    local: where to write.
  """

  def __init__(self, folder: str | AnyPath):
    self._folder, self._copied, self._temporary = epath.Path(folder), {}, None
    if is_address(self._folder):
      self._temporary = tempfile.TemporaryDirectory()
      self.local = Path(self._temporary.name)
    else:
      self.local = Path(self._folder)

  def publish(self) -> None:
    """Takes what has changed to the address; raises UserError if it cannot."""
    if not self._temporary:
      return
    for path in sorted(self.local.rglob("*")):
      now = path.stat().st_mtime_ns, path.stat().st_size
      if path.is_file() and self._copied.get(path) != now:
        write_whole(self._folder / path.relative_to(self.local), path.read_bytes())
        self._copied[path] = now

  def close(self) -> None:
    """Publishes for the last time, and clears up."""
    if self._temporary:
      self.publish()
      self._temporary.cleanup()
