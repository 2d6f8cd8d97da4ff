"""Files on a disk or in a bucket (gs://BUCKET/FOLDER), written atomically."""

import codecs
import contextlib
import errno
import functools
import json
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epath

from stale_jax.errors import UserError

# A path on a disk or in a bucket.
AnyPath = Path | epath.Path
# Error numbers of a full disk.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Byte order marks and their encodings. The mark of UTF-32 begins with that of UTF-16.
_MARKS = (
  (codecs.BOM_UTF8, "utf-8"),
  (codecs.BOM_UTF32_LE, "utf-32-le"),
  (codecs.BOM_UTF32_BE, "utf-32-be"),
  (codecs.BOM_UTF16_LE, "utf-16-le"),
  (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Seconds to wait for a bucket; without a network, its client retries for minutes.
_PATIENCE = 30.0


def cache_folder() -> Path:
  """Folder of recomputable files: $XDG_CACHE_HOME/stale_jax, by default ~/.cache/stale_jax."""
  return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stale_jax"


def at(place: str | AnyPath) -> epath.Path:
  """`place` as an absolute path on a disk, or as gs://BUCKET/FOLDER after checking that the bucket exists.

  Raises:
    UserError: the address is not in Google Cloud Storage; the bucket does not answer; or the path is not
      valid UTF-8, which the library that writes checkpoints needs.
  """
  try:
    os.fspath(place).encode()
  except UnicodeEncodeError as error:
    raise UserError(f"the name of the folder {place} is not valid UTF-8; choose another.") from error
  if not is_address(place):
    return absolute(place)
  scheme, _, within = os.fspath(place).partition("://")
  bucket, _, folder = within.partition("/")
  if scheme != "gs" or not bucket or not folder:
    raise UserError(f"{place}: give gs://BUCKET/FOLDER, or a path on a disk.")
  try:
    import gcsfs  # noqa: F401
  except ImportError as error:
    raise UserError(f"{place}: Google Cloud Storage needs the package gcsfs; pip install gcsfs.") from error
  # gcsfs warns when it falls back to anonymous access; if that access fails, `_reach` reports it.
  logging.getLogger("gcsfs").setLevel(logging.ERROR)
  _reach(epath.Path(f"gs://{bucket}"))
  return epath.Path(place)


def check_on_disk(prefix: str, **places: str | None) -> None:
  """Refuses addresses, which would name a local folder called "gs:", where a path on a disk is needed.

  Args:
    prefix: what precedes the names of `places` in the error message: "--" for flags, "source." for keys.
    **places: name of a flag or key -> its value; None if it is not given.

  Raises:
    UserError: a value is an address.
  """
  for name, place in places.items():
    if place and is_address(place):
      raise UserError(
        f"{prefix}{name}={place} is an address, which is not possible here: give a path on a disk."
      )


def absolute(place: str | AnyPath) -> epath.Path:
  """`place` as an absolute path; addresses are unchanged (epath would treat them as relative paths)."""
  place = epath.Path(place)
  return place if is_address(place) else place.absolute()


def is_address(place: str | AnyPath) -> bool:
  """Whether `place` is an address, such as gs://BUCKET/FOLDER, and not a path on a disk."""
  return "://" in os.fspath(place)


@functools.cache  # A bucket that has answered is not checked again.
def _reach(bucket: epath.Path) -> None:
  """Raises UserError if `bucket` does not exist or does not answer in time."""
  answers = []

  def ask():
    try:
      answers.append(None if bucket.exists() else "the bucket does not exist, or you have no access to it")
    except Exception as error:  # Network, credentials and client raise many types.
      answers.append(one_line(error))

  asking = threading.Thread(target=ask, daemon=True)
  asking.start()
  asking.join(_PATIENCE)
  reason = answers[0] if answers else f"no answer in {_PATIENCE:.0f} seconds"
  if reason is not None:
    raise UserError(f"cannot reach {bucket}: {reason}.")


def encoding_of(data: bytes) -> tuple[str, int]:
  """The encoding of a text file by its byte order mark, else UTF-8, and the number of bytes of the mark."""
  return next(((name, len(mark)) for mark, name in _MARKS if data.startswith(mark)), ("utf-8", 0))


def decode_text(data: bytes, name: str | AnyPath) -> str:
  """Decodes a text file of a user; all of them are decoded here.

  Args:
    data: the bytes of the file.
    name: name of the file, for error messages.

  Raises:
    UserError: the text is not in the encoding of `encoding_of`. Another encoding is not guessed, because a
      wrong guess yields wrong letters without an error.
  """
  encoding, start = encoding_of(data)
  try:
    text = data[start:].decode(encoding)
  except UnicodeDecodeError as error:
    raise UserError(
      f"{name} is not {encoding[:6].rstrip('-').upper()} text (byte {start + error.start}): save it as UTF-8."
    ) from error
  if "\0" in text:  # As in UTF-16 without a byte order mark, which is valid UTF-8.
    raise UserError(
      f"{name} contains zero bytes, as UTF-16 without a byte order mark does: save it as UTF-8."
    )
  return text


def make_folder(folder: str | AnyPath) -> epath.Path:
  """Creates `folder` if it does not exist; raises UserError if it cannot be written to."""
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
  """Writes a file atomically; raises UserError if it cannot be written."""
  path, data = epath.Path(path), data.encode() if isinstance(data, str) else data
  if is_address(path):  # Uploads to a bucket are atomic.
    try:
      path.write_bytes(data)
    except Exception as error:  # The client raises many types.
      raise UserError(f"cannot write {path}: {one_line(error)}.") from error
    return
  partial = path.with_name(path.name + ".partial")
  try:
    partial.write_bytes(data)
    os.replace(partial, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      partial.unlink()
    raise UserError(f"cannot write {path}: {error.strerror}.") from error


def read_object(path: str | AnyPath, advice: str) -> dict[str, Any]:
  """Reads a file that holds a JSON object.

  Args:
    path: the file.
    advice: the end of the error message: what the user should do about a damaged file.

  Raises:
    UserError: the file cannot be read, is not JSON, or holds something else, such as a list.
  """
  path = epath.Path(path)
  try:
    data = path.read_bytes()
  except Exception as error:  # The clients of buckets raise many types.
    raise UserError(f"cannot read {path}: {one_line(error)}.") from error
  return parse_object(data, path, advice)


def parse_object(data: str | bytes, where: object, advice: str) -> dict[str, Any]:
  """Parses the JSON object `data`, which is stored in `where`; otherwise as `read_object`."""
  try:
    value = json.loads(data if isinstance(data, str) else data.decode())
  except (ValueError, RecursionError) as error:  # Among them UnicodeDecodeError.
    raise UserError(f"{where} is not a JSON file ({one_line(error)}); {advice}.") from error
  if not isinstance(value, dict):
    raise UserError(f"{where} holds {json.dumps(value)[:40]} instead of a JSON object; {advice}.")
  return value


@contextlib.contextmanager
def local_copy(path: str | AnyPath) -> Iterator[Path]:
  """Yields a path on a disk with the content of `path`: a temporary copy, if `path` is in a bucket."""
  path = epath.Path(path)
  if not is_address(path):
    yield Path(path)
    return
  with tempfile.TemporaryDirectory() as folder:
    copy = Path(folder) / path.name
    copy.write_bytes(path.read_bytes())
    yield copy


class Written:
  """A local folder for writers that append to files, which a bucket does not support.

  If `folder` is on a disk, files are written to `folder` itself. If `folder` is in a bucket, they are written
  to a temporary folder, which is empty at first, and uploaded to `folder`.

  Attributes:
    local: folder to write to.
  """

  def __init__(self, folder: str | AnyPath):
    self._folder, self._copied, self._temporary = epath.Path(folder), {}, None
    if is_address(self._folder):
      self._temporary = tempfile.TemporaryDirectory()
      self.local = Path(self._temporary.name)
    else:
      self.local = Path(self._folder)

  def publish(self) -> None:
    """Uploads new and changed files if `folder` is in a bucket; raises UserError if that fails."""
    if not self._temporary:
      return
    for path in sorted(self.local.rglob("*")):
      now = path.stat().st_mtime_ns, path.stat().st_size
      if path.is_file() and self._copied.get(path) != now:
        write_whole(self._folder / path.relative_to(self.local), path.read_bytes())
        self._copied[path] = now

  def close(self) -> None:
    """Publishes for the last time and deletes the temporary folder, if there is one."""
    if self._temporary:
      self.publish()
      self._temporary.cleanup()


def one_line(error: Exception) -> str:
  """The message of an error as one line of at most 200 characters."""
  text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
  return " ".join(text.split())[:200] or type(error).__name__
