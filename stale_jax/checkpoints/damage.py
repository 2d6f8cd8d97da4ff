"""Which errors of reading a checkpoint mean that its files are damaged.

A damaged checkpoint stays damaged: files are missing, cut short, or their bytes have changed. Every other
error may pass, such as one of the storage or a lack of memory.
"""

import contextlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

# What TensorStore says of damaged files, which it raises as a ValueError: the codes of its status.
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
  """The bytes of a checkpoint differ from those that were written."""


def is_damage(error: BaseException) -> bool:
  """Whether `error`, of reading a checkpoint, says that its files are damaged."""
  return any(
    isinstance(one, (DamageError, *_DAMAGE)) or (type(one) is ValueError and _DAMAGE_CODES.search(str(one)))
    for one in _chain(error)
  )


def reason(error: BaseException) -> str:
  """One line: what the first DamageError says, or else the error that `error` was raised from."""
  every = list(_chain(error))
  told = next((one for one in every if isinstance(one, DamageError)), every[-1])
  return (str(told).strip() or type(told).__name__).split("\n")[0][:160]


def check_files(checkpoint: epath.Path) -> None:
  """Raises DamageError if a file is missing without which Orbax takes the checkpoint for another kind."""
  for name in ("state/_METADATA", "state/manifest.ocdbt", "rest/metadata"):
    if not (checkpoint / name).exists():
      raise DamageError(f"{name} is missing")


def check_record(rest: Mapping[str, Any]) -> None:
  """Raises DamageError if the record beside the arrays lacks a key."""
  if missing := {"data", "fingerprint"} - rest.keys():
    raise DamageError(f"rest/metadata lacks {', '.join(sorted(missing))}")


@contextlib.contextmanager
def decoding(what: str) -> Iterator[None]:
  """Turns errors of decoding a description into DamageError."""
  try:
    yield
  except (KeyError, TypeError, NotImplementedError) as error:
    raise DamageError(f"{what} cannot be decoded: {error}") from error


def _chain(error: BaseException) -> Iterator[BaseException]:
  """`error` and the errors that it was raised from."""
  while error is not None:
    yield error
    error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
