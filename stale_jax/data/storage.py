"""Input files on a disk or at an address that fsspec can read, such as gs://, s3://, https:// and hf://.

A path is a string. Files at an address are assumed not to change during a run.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import io
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec

from stale_jax.data.print_once import print_once
from stale_jax.data.source import in_threads
from stale_jax.errors import UserError
from stale_jax.files import cache_folder, decode_text, is_address, write_whole

# A remote file of at most this many bytes is read whole, once for the pictures, sound and length of a video.
_WHOLE_BYTES = 16 * 2**20
_CACHED_FILES = 16  # Number of such files in memory.
_PART = 32  # Number of files whose versions a thread reads at a time.
# What services call the version of a file, and what else tells two versions apart.
_VERSIONS = (
  "etag",
  "ETag",
  "generation",
  "md5Hash",
  "mtime",
  "LastModified",
  "last_modified",
  "Last-Modified",
  "Content-MD5",
  "created",
  "blob_id",
)


def list_files(folder: str) -> list[str]:
  """The paths of all files in `folder` and its subfolders, without names that begin with a dot.

  In each folder, the files come first, then the subfolders, both sorted by name. On a disk, links to folders
  are followed, but no folder is listed twice.

  Raises:
    UserError: the address cannot be reached.
  """
  if not is_address(folder):
    return local_files(folder)
  with _reported(folder):
    system, root = _system(folder)
    found = system.find(root)
  return list(_visible(folder, {path: path for path in found}, root))


def versions(folder: str) -> dict[str, str]:
  """The paths of `list_files`, and for each what changes with the file and is known without reading it.

  On a disk, this is its size and its time of modification, and only regular files are listed. At an address,
  it is its size and what the service calls its version.

  Raises:
    UserError: the address cannot be reached.
  """
  if is_address(folder):
    with _reported(folder):
      system, root = _system(folder)
      found = _visible(folder, system.find(root, detail=True), root)
      return dict(zip(found, _each(lambda file: _version(*file), list(found.items())), strict=True))
  paths = local_files(folder)
  found = zip(paths, _each(_stated, paths), strict=True)
  return {path: version for path, version in found if version is not None}


def _each(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
  """[function(value) for value in values], in threads."""
  parts = [values[start : start + _PART] for start in range(0, len(values), _PART)]
  return list(itertools.chain.from_iterable(in_threads(lambda k: list(map(function, parts[k])), len(parts))))


def _visible(folder: str, found: Mapping[str, Any], root: str) -> dict[str, Any]:
  """The files `found` in the folder `root` of a file system: address -> value, as `list_files` sorts them."""
  inside = {path.removeprefix(root).strip("/"): facts for path, facts in found.items()}
  kept = (path for path in inside if path and not any(part.startswith(".") for part in path.split("/")))
  return {f"{folder.rstrip('/')}/{path}": inside[path] for path in sorted(kept, key=_sort_key)}


def _version(path: str, facts: Mapping[str, Any]) -> str:
  """What a service states of a file; asks for this file alone if `facts`, from a list, have no version."""
  if not any(name in facts for name in _VERSIONS):
    system, within = _system(path)
    facts = system.info(within)
  return " ".join(str(facts[name]) for name in ("size", *_VERSIONS) if name in facts)


def _stated(path: str) -> str | None:
  """The version of a file; "" if it has gone, None if it is no file but, for example, a named pipe."""
  try:
    status = os.stat(path)
  except OSError:
    return ""
  return f"{status.st_size} {status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None


def local_files(folder: str, without: str = "") -> list[str]:
  """`list_files` for a folder on a disk.

  Args:
    folder: the folder. Its subfolders that cannot be listed are named on stderr.
    without: a folder inside that is not listed.
  """
  seen, left, inside = set(), [folder], []
  skipped = os.path.realpath(without) if without else None
  while left:
    links = []
    # Real folders first, so that the names of their files do not depend on the links to them.
    for parent, folders, names in itertools.chain(*(os.walk(start, onerror=_unlisted) for start in left)):
      status = os.stat(parent)
      if (status.st_dev, status.st_ino) in seen or (skipped and os.path.realpath(parent) == skipped):
        folders.clear()
        continue
      seen.add((status.st_dev, status.st_ino))
      folders[:] = [name for name in folders if not name.startswith(".")]
      links += [path for path in (os.path.join(parent, name) for name in folders) if os.path.islink(path)]
      begin = os.path.relpath(parent, folder)
      inside += [os.path.normpath(os.path.join(begin, name)) for name in names if not name.startswith(".")]
    left = sorted(links, key=_sort_key)
  begin = os.path.join(folder, "")
  return [begin + path for path in sorted(inside, key=_sort_key)]


def _unlisted(error: OSError) -> None:
  print_once(f"left out: the folder {error.filename} cannot be listed: {error.strerror}.")


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


def read_text(path: str) -> str | None:
  """The text of a file (see `decode_text`); None if it does not exist.

  Raises:
    UserError: the file cannot be read or decoded.
  """
  data = read_named(path)
  return None if data is None else decode_text(data, path)


def read_named(path: str) -> bytes | None:
  """`read`, but raises UserError, which names the file, if it cannot be read."""
  try:
    return read(path)
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


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
  copy = cache_folder() / "data" / hashlib.sha256(folder.encode(errors="surrogatepass")).hexdigest()[:16]
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
  now = {path.removeprefix(folder).lstrip("/"): version for path, version in versions(folder).items()}
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
