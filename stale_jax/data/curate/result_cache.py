"""A cache of expensive results in files, so that an interrupted run can resume."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

# Prefix of the names of unfinished files.
PARTIAL = ".partial"


def key_of(*parts: Any) -> str:
  """A key, 40 hex digits, that is determined by `parts`, which must be serializable as JSON."""
  return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


class ResultCache:
  """Stores JSON values by key, one file each. Writes are atomic; several processes may write the same key."""

  def __init__(self, folder: str | Path):
    self._folder = Path(folder)

  def path(self, key: str, suffix: str = ".json") -> Path:
    """The path of the value of `key`, or, with another suffix, of a file that belongs to it."""
    # Subfolders, because file systems are slow if a folder has very many files.
    return self._folder / key[:2] / (key + suffix)

  def get(self, key: str) -> Any:
    """The value of `key`; None if it is absent or cannot be read."""
    try:
      return json.loads(self.path(key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
      return None

  def put(self, key: str, value: Any) -> None:
    """Stores `value`, which must be serializable as JSON."""
    path = self.path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL)
    try:
      with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file, sort_keys=True)
      os.replace(partial, path)
    except BaseException:
      os.unlink(partial)
      raise
