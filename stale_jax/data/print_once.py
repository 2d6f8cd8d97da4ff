"""Messages to the user that are printed only once, even if several threads print the same message."""

import sys
import threading

_LOCK = threading.Lock()
_PRINTED: set[str] = set()
_NAMED: set[str] = set()  # Files that are left out.
# Further files are not named, so that neither the log nor the memory of this process grows.
_MOST_NAMED = 1000


def print_once(message: str) -> None:
  """Prints `message` to stderr, unless this process has printed it before."""
  with _LOCK:
    if message not in _PRINTED:
      _PRINTED.add(message)
      _print(message)


def print_left_out(file: str, reason: object) -> None:
  """Prints to stderr that `file` is left out, once for each file, whatever the reasons; at most 1,000 files.

  Args:
    file: name of the file.
    reason: a message that begins with this name.
  """
  with _LOCK:
    if file in _NAMED or len(_NAMED) > _MOST_NAMED:
      return
    _NAMED.add(file)
    if len(_NAMED) > _MOST_NAMED:
      _print(f"more than {_MOST_NAMED} files are left out; the others are not named.")
    else:
      _print(f"left out: {reason}")


def _print(message: str) -> None:
  # A name of a file may contain line ends, and bytes that are not valid UTF-8.
  message = message.replace("\n", "\\n").encode(errors="backslashreplace").decode()
  print(message, file=sys.stderr, flush=True)
