"""Input files on a disk or at an address that fsspec can read, such as gs://, s3://, https:// and hf://.

A path is a string. Files at an address are assumed not to change during a run.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

from stale_jax.errors import UserError
from stale_jax.files import cache_folder, is_address, write_whole

# A remote file of at most this many bytes is read whole, once for the pictures, sound and length of a video.
_WHOLE_BYTES = 16 * 2**20
_CACHED_FILES = 16  # Number of such files in memory.
_END_BYTES = 1 << 16  # Bytes at each end of a local file that identify it.
# What services call the version of a file, and what else tells two versions apart.
_VERSIONS = (
  "size",
  "etag",
  "ETag",
  "generation",
  "md5Hash",
  "mtime",
  "LastModified",
  "last_modified",
  "created",
)


def list_files(folder: str) -> list[str]:
  """The paths of all files in `folder` and its subfolders, without names that begin with a dot.

  In each folder, the files come first, then the subfolders, both sorted by name.

  Raises:
    UserError: the address cannot be reached.
  """
  if is_address(folder):
    with _reported(folder):
      system, root = _system(folder)
      inside = [path.removeprefix(root).strip("/") for path in system.find(root)]
    begin = folder.rstrip("/") + "/"
  else:
    walk = ((os.path.relpath(parent, folder), names) for parent, _, names in os.walk(folder))
    inside = [os.path.normpath(os.path.join(parent, name)) for parent, names in walk for name in names]
    begin = os.path.join(folder, "")
  kept = (path for path in inside if path and not any(part.startswith(".") for part in path.split("/")))
  return [begin + path for path in sorted(kept, key=_sort_key)]


def _sort_key(path: str) -> list[tuple[bool, str]]:
  """A key that sorts the files of a folder before its subfolders."""
  *folders, name = path.split("/")
  return [*((True, folder) for folder in folders), (False, name)]


def is_folder(path: str) -> bool:
  """Whether `path` is a folder. Raises UserError if the address cannot be reached."""
  if not is_address(path):
    return os.path.isdir(path)
  with _reported(path):
    system, root = _system(path)
    return system.isdir(root)


def read(path: str) -> bytes | None:
  """The bytes of a file; None if it does not exist. Raises OSError if it cannot be read."""
  try:
    if not is_address(path):
      with open(path, "rb") as file:
        return file.read()
    with _as_os_error(path):
      system, within = _system(path)
      return system.cat_file(within) if system.exists(within) else None
  except FileNotFoundError:
    return None


def beside(path: str, ending: str) -> str:
  """The path of a file beside another one: its name without the last suffix, followed by `ending`."""
  stem, dot, suffix = path.rpartition(".")
  return (stem if dot and "/" not in suffix else path) + ending


def version(path: str) -> int | None:
  """A number that changes when the file changes; None if the file does not exist.

  Raises:
    OSError: the address cannot be reached.
  """
  if is_address(path):
    with _as_os_error(path):
      system, within = _system(path)
      return 0 if system.exists(within) else None
  with contextlib.suppress(FileNotFoundError, NotADirectoryError):
    return os.stat(path).st_mtime_ns
  return None


def content_hash(path: str) -> str:
  """Identifies the content of a file without reading all of it: its size, and its first and last bytes.

  At an address: its size and what the service calls its version, if it states one.

  Raises:
    OSError: the file cannot be read.
  """
  if is_address(path):
    with _as_os_error(path):
      system, within = _system(path)
      facts = system.info(within)
    return " ".join(str(facts[name]) for name in _VERSIONS if name in facts)
  with open(path, "rb") as file:
    size = os.fstat(file.fileno()).st_size
    digest = hashlib.sha256(file.read(_END_BYTES))
    file.seek(max(0, size - _END_BYTES))
    digest.update(file.read(_END_BYTES))
  return f"{size} {digest.hexdigest()}"


def on_disk(folder: str) -> str:
  """A folder on this machine with the files of `folder`.

  Returns:
    `folder` itself. If it is an address, a copy in the cache folder (`files.cache_folder`), in which files
    are replaced when their version changes.

  Raises:
    UserError: the address cannot be reached, or the copy cannot be written.
  """
  if not is_address(folder):
    return folder
  copy = cache_folder() / "data" / hashlib.sha256(folder.encode()).hexdigest()[:16]
  with _reported(folder):
    copy.mkdir(parents=True, exist_ok=True)
    with (copy / ".lock").open("w") as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      _update(copy, folder)
  return str(copy)


def _update(copy: Path, folder: str) -> None:
  """Makes the folder `copy` equal to the address `folder`; only new and changed files are copied."""
  index = copy / ".versions.json"
  before = json.loads(index.read_text()) if index.exists() else {}
  now = {path.removeprefix(folder).lstrip("/"): content_hash(path) for path in list_files(folder)}
  for name in before.keys() - now.keys():
    (copy / name).unlink(missing_ok=True)
  for name, wanted in now.items():
    if before.get(name) == wanted and (copy / name).exists():
      continue
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    partial = copy / f"{name}.partial"
    system, within = _system(f"{folder.rstrip('/')}/{name}")
    system.get_file(within, str(partial))
    partial.rename(copy / name)
  write_whole(index, json.dumps(now))


def open_file(path: str) -> io.IOBase:
  """Opens a file at an address for reading at any position.

  Raises:
    OSError: the file cannot be read; the result raises it, too.
  """
  with _as_os_error(path):
    size = _size(path)
    if size is not None and size <= _WHOLE_BYTES:
      return io.BytesIO(_whole(path))
    system, within = _system(path)
    return _Remote(path, system.open(within, "rb"))


class _Remote(io.RawIOBase):
  """A file at an address that is read in parts."""

  def __init__(self, path: str, file: Any):
    super().__init__()
    self._path, self._file = path, file

  def read(self, size: int = -1) -> bytes:
    """See `io.RawIOBase`."""
    with _as_os_error(self._path):
      return self._file.read(size)

  def seek(self, offset: int, whence: int = 0) -> int:
    """See `io.RawIOBase`."""
    with _as_os_error(self._path):
      return self._file.seek(offset, whence)

  def tell(self) -> int:
    """See `io.RawIOBase`."""
    return self._file.tell()

  def readable(self) -> bool:
    """See `io.RawIOBase`."""
    return True

  def seekable(self) -> bool:
    """See `io.RawIOBase`."""
    return True

  def close(self) -> None:
    """See `io.RawIOBase`."""
    self._file.close()
    super().close()


@functools.lru_cache(maxsize=1 << 16)
def _size(path: str) -> int | None:
  system, within = _system(path)
  return system.size(within)


@functools.lru_cache(maxsize=_CACHED_FILES)
def _whole(path: str) -> bytes:
  system, within = _system(path)
  return system.cat_file(within)


@functools.cache
def _protocol(protocol: str) -> fsspec.AbstractFileSystem:
  return fsspec.filesystem(protocol)


def _system(path: str) -> tuple[Any, str]:
  """The file system of an address, and the path in it."""
  system = _protocol(path.partition("://")[0])
  return system, system._strip_protocol(path)


@contextlib.contextmanager
def _as_os_error(path: str) -> Iterator[None]:
  """Turns what the clients raise, which are many types, into an OSError with a message of one line."""
  try:
    yield
  except FileNotFoundError:
    raise
  except Exception as error:
    raise OSError(errno.EIO, _one_line(error), path) from error


@contextlib.contextmanager
def _reported(path: str) -> Iterator[None]:
  """Turns what the clients raise into a UserError of one line."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    raise UserError(f"{path} cannot be read: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split())[:200] or type(error).__name__
