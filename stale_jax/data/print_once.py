"""Messages to the user that are printed only once, even if several threads print the same message."""

import functools
import sys
import threading

_LOCK = threading.Lock()


def print_once(message: str) -> None:
  """Prints `message` to stderr, unless this process has printed it before."""
  with _LOCK:
    _print(message)


@functools.cache
def _print(message: str) -> None:
  print(message, file=sys.stderr, flush=True)
