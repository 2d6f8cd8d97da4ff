"""Messages to the user that are printed only once, even if several threads print the same message."""

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

_LOCK = threading.Lock()


def print_once(message: str) -> None:
  """Prints `message` to stderr, unless this process has printed it before."""
  with _LOCK:
    _print(message)


def or_left_out(function: Callable[[Any], Any], argument: Any, error: type[Exception]) -> Any:
  """`function(argument)`; None if it raises `error`, which is printed once as the reason for leaving out."""
  try:
    return function(argument)
  except error as raised:
    print_once(f"left out: {raised}")
    return None


@functools.cache
def _print(message: str) -> None:
  print(message, file=sys.stderr, flush=True)
