"""Files that are there whole or not at all."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from stale_jax.errors import UserError

# Numbers of the errors that mean: no room for it.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def make_folder(folder: str | Path) -> Path:
  """Creates `folder` if need be; raises UserError if it cannot be written."""
  folder = Path(folder)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    raise UserError(f"cannot write to {folder}: {error.strerror}. Choose another folder.") from error
  return folder


def write_whole(path: Path, data: str | bytes) -> None:
  """Writes a file so that it is there whole or not at all; raises UserError if it cannot be written."""
  partial = path.with_name(path.name + ".partial")
  try:
    partial.write_bytes(data.encode() if isinstance(data, str) else data)
    os.replace(partial, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      partial.unlink()
    raise UserError(f"cannot write {path}: {error.strerror}.") from error
