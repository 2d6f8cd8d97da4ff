"""Answers that cost much, kept in files, so that a run that was killed does not ask twice."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

# How the names of files begin that are not finished.
PARTIAL = ".partial"


def key_of(*parts: Any) -> str:
  """A name for what `parts` (plain data) determine."""
  return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


class Remembered:
  """Plain data by key, a file each, there whole or not at all; several processes may write the same."""

  def __init__(self, folder: str | Path):
    self._folder = Path(folder)

  def path(self, key: str, suffix: str = ".json") -> Path:
    """Where it is, or something that belongs to it; not all in one folder, which file systems dislike."""
    return self._folder / key[:2] / (key + suffix)

  def get(self, key: str) -> Any:
    """None if it is not known, or not legible."""
    try:
      return json.loads(self.path(key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
      return None

  def put(self, key: str, value: Any) -> None:
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
