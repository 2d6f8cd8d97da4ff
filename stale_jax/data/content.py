"""Hashes of the content of files, which are read once and remembered."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from stale_jax.data.source import Spread, in_threads
from stale_jax.data.storage import versions
from stale_jax.errors import UserError
from stale_jax.files import cache_folder, is_address, make_folder, write_whole

# Nanoseconds after its last change from which a file's status identifies its content. A file can change twice
# within the resolution of the clock of its file system.
_SETTLED = 2_000_000_000


def content_hashes(folder: str, paths: Sequence[str], spread: Spread = in_threads) -> list[str]:
  """A hash of the content of each of the files `paths`; "" if the file does not exist.

  A file on a disk is read whole. Its hash is kept in the cache folder, together with its size, times of
  modification and of change of status, and inode number, and the file is read again when one of these
  changes. The hash of a file at an address is its version (`versions`).

  Args:
    folder: the folder of the files.
    paths: paths of files in `folder` or its subfolders.
    spread: as in `Source.prepare`.

  Raises:
    UserError: the address cannot be reached.
  """
  if is_address(folder):
    [known] = spread(lambda _: versions(folder), 1)
    return [known.get(path, "") for path in paths]
  name = hashlib.sha256(os.path.abspath(folder).encode(errors="surrogatepass")).hexdigest()[:16]
  store = cache_folder() / "hashes" / f"{name}.json"
  known = {}
  with contextlib.suppress(OSError, ValueError):
    known = json.loads(store.read_text())
  found = spread(lambda k: _hashed(paths[k], known.get(paths[k])), len(paths))
  settled = {path: one for path, one in zip(paths, found, strict=True) if one[0]}
  # Called even if nothing is new here: all processes must call `spread`, and their caches may differ.
  spread(lambda _: _keep(store, known, settled), 1)
  return [hashed for _, hashed in found]


def _hashed(path: str, known: Sequence | None) -> list:
  """[the status of a file, its hash]; the status is None if the hash is not to be kept."""
  try:
    with open(path, "rb") as file:
      status = os.fstat(file.fileno())
      facts = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
      if known and known[0] == facts:
        return known
      hashed = hashlib.file_digest(file, "sha256").hexdigest()
    return [facts if status.st_ctime_ns < time.time_ns() - _SETTLED else None, hashed]
  except FileNotFoundError:
    return [None, ""]
  except OSError:  # The source leaves such a file out.
    return [None, "unreadable"]


def _keep(store: Path, known: Mapping[str, list], settled: Mapping[str, list]) -> None:
  """Writes the hashes `known` and `settled` to the file `store`, unless all of `settled` are known."""
  if all(known.get(path) == one for path, one in settled.items()):
    return
  with contextlib.suppress(UserError):  # Without the cache, files are only read again.
    make_folder(store.parent)
    write_whole(store, json.dumps({**known, **settled}))
