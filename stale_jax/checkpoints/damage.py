"""Decides which errors in reading a checkpoint mean that its files are damaged.

Damage is permanent: files are missing or truncated, or their bytes have changed. All other errors may be
temporary, for example a storage error or a lack of memory.
"""

import contextlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

# TensorStore raises a ValueError for damaged files, with one of these status codes in its message.
_DAMAGE_CODES = re.compile(r"\b(DATA_LOSS|NOT_FOUND|FAILED_PRECONDITION|OUT_OF_RANGE|INVALID_ARGUMENT)\b")
_DAMAGE = (
  FileNotFoundError,
  NotADirectoryError,
  EOFError,
  json.JSONDecodeError,
  UnicodeDecodeError,
  zlib.error,
)


class DamageError(Exception):
  """A checkpoint is damaged: a file or key is missing, or its content has changed."""


def is_damage(error: BaseException) -> bool:
  """Whether `error`, raised while a checkpoint was read, means that its files are damaged."""
  return any(
    isinstance(e, (DamageError, *_DAMAGE)) or (type(e) is ValueError and _DAMAGE_CODES.search(str(e)))
    for e in _chain(error)
  )


def reason(error: BaseException) -> str:
  """One line about the cause of `error`: the first DamageError in its chain, or else the root cause."""
  errors = list(_chain(error))
  cause = next((e for e in errors if isinstance(e, DamageError)), errors[-1])
  return (str(cause).strip() or type(cause).__name__).split("\n")[0][:160]


def check_files(checkpoint: epath.Path) -> None:
  """Raises DamageError if files are missing or damaged that Orbax does not check, or not in its own terms."""
  for name in ("state/_METADATA", "state/manifest.ocdbt", "rest/metadata"):
    # If one is missing, Orbax assumes another kind of checkpoint.
    if not (checkpoint / name).exists():
      raise DamageError(f"{name} is missing")
  for name in ("state/_METADATA", "rest/metadata"):
    value = json.loads((checkpoint / name).read_bytes())
    if not isinstance(value, dict):
      raise DamageError(f"{name} holds {json.dumps(value)[:40]} instead of a JSON object")


def check_record(rest: Mapping[str, Any]) -> None:
  """Raises DamageError if `rest`, the JSON item of a checkpoint, lacks a key."""
  if missing := {"data", "fingerprint"} - rest.keys():
    raise DamageError(f"required keys are missing from rest/metadata: {', '.join(sorted(missing))}")


@contextlib.contextmanager
def decoding(what: str) -> Iterator[None]:
  """Converts errors in decoding metadata to DamageError; `what` is the name of the file."""
  try:
    yield
  except (KeyError, TypeError, NotImplementedError) as error:
    raise DamageError(f"{what} cannot be decoded: {error}") from error


def _chain(error: BaseException) -> Iterator[BaseException]:
  """Yields `error` and the errors that caused it."""
  while error is not None:
    yield error
    error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
