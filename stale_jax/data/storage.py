"""Input files on a disk or at an address that fsspec can read, such as gs://, s3://, https:// and hf://.

A path is a string. Files at an address are assumed not to change during a run.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import io
import os
from collections.abc import Iterator
from typing import Any

import fsspec

from stale_jax.errors import UserError
from stale_jax.files import cache_folder, is_address

# A remote video of at most this many bytes is read whole, once for its pictures, sound and length.
_WHOLE = 64 * 2**20
_ENDS = 1 << 16  # Bytes at each end of a file that identify it.
_KEPT = 4  # Number of such videos in memory.


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
  return [begin + path for path in sorted(kept, key=_place)]


def _place(path: str) -> list[tuple[bool, str]]:
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
    if is_address(path):
      system, within = _system(path)
      return system.cat_file(within) if system.exists(within) else None
    with open(path, "rb") as file:
      return file.read()
  except FileNotFoundError:
    return None


def beside(path: str, ending: str) -> str:
  """The path of a file beside another one: its name without the last suffix, followed by `ending`."""
  stem, dot, suffix = path.rpartition(".")
  return (stem if dot and "/" not in suffix else path) + ending


def version(path: str) -> int | None:
  """A number that changes when the file changes; None if the file does not exist."""
  if is_address(path):
    system, within = _system(path)
    return 0 if system.exists(within) else None
  with contextlib.suppress(FileNotFoundError, NotADirectoryError):
    return os.stat(path).st_mtime_ns
  return None


def fingerprint(path: str) -> str:
  """Identifies the content of a file without reading all of it: its size, and its first and last bytes.

  At an address it is what the service calls the version of the file.

  Raises:
    OSError: the file cannot be read.
  """
  if is_address(path):
    system, within = _system(path)
    return str(system.ukey(within))
  with open(path, "rb") as file:
    size = os.fstat(file.fileno()).st_size
    digest = hashlib.sha256(file.read(_ENDS))
    file.seek(max(0, size - _ENDS))
    digest.update(file.read(_ENDS))
  return f"{size} {digest.hexdigest()}"


def on_disk(folder: str) -> str:
  """A folder on this machine with the files of `folder`.

  Returns:
    `folder` itself. If it is an address, a copy in the cache folder (`files.cache_folder`), to which only
    files that are missing are copied.

  Raises:
    UserError: the address cannot be reached, or the disk is full.
  """
  if not is_address(folder):
    return folder
  copy = cache_folder() / "data" / hashlib.sha256(folder.encode()).hexdigest()[:16]
  copy.mkdir(parents=True, exist_ok=True)
  with _reported(folder), (copy / ".lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    for path in list_files(folder):
      system, within = _system(path)
      target = copy / path.removeprefix(folder).lstrip("/")
      if target.exists() and target.stat().st_size == system.size(within):
        continue
      target.parent.mkdir(parents=True, exist_ok=True)
      partial = target.with_name(f".{target.name}.partial")
      system.get_file(within, str(partial))
      partial.rename(target)
  return str(copy)


def open_file(path: str) -> io.IOBase:
  """Opens a file at an address for reading at any position. Raises OSError if it cannot be read."""
  try:
    system, within = _system(path)
    return io.BytesIO(_whole(path)) if system.size(within) <= _WHOLE else system.open(within, "rb")
  except OSError:
    raise
  except Exception as error:  # The clients raise many types.
    raise OSError(errno.EIO, _one_line(error)) from error


@functools.lru_cache(maxsize=_KEPT)
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
