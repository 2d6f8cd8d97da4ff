"""Keeps Orbax and TensorStore from printing traces of errors that the program reports in one line.

Orbax reads all arrays of a checkpoint at once, in an event loop that it closes at the first error. Every
other read that fails prints a trace of its own: asyncio, because nothing awaits its error; a thread of
TensorStore, because the event loop is closed; or Python, because a coroutine is deleted before it ends.
"""

import logging
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any


def silence() -> None:
  """Drops these traces from now on. The error that is raised, and errors of other code, are not affected."""
  logging.getLogger("absl").addFilter(_is_not_of_orbax)
  logging.getLogger("asyncio").addFilter(_is_not_of_a_checkpoint)
  warnings.filterwarnings("ignore", "coroutine '_read_.*' was never awaited", RuntimeWarning)
  usual = sys.unraisablehook

  def hook(found: Any) -> None:
    if not (_is_too_late(found) or _is_of_orbax(found)):
      usual(found)

  sys.unraisablehook = hook


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
  return "orbax" not in record.pathname


def _is_not_of_a_checkpoint(record: logging.LogRecord) -> bool:
  text = record.getMessage()
  return "orbax" not in text and "tensorstore" not in text


def _is_too_late(found: Any) -> bool:
  """Whether this is the error of a read that ended after the event loop, called by C++ code of TensorStore.

  An error of Python code has an `object`: the destructor or the callback that failed.
  """
  error = found.exc_value
  return found.object is None and type(error) is RuntimeError and str(error) == "Event loop is closed"


def _is_of_orbax(found: Any) -> bool:
  """Whether Orbax's code raised it, for example in a coroutine that is deleted before it has ended."""
  files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(found.exc_traceback)]
  return any("/orbax/" in Path(file).as_posix() for file in files)
