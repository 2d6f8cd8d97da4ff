"""Messages to the user, each once, though several threads read and each finds the cause."""

import functools
import sys
import threading

_LOCK = threading.Lock()


def say(words: str) -> None:
  """Prints `words` on stderr, the first time."""
  with _LOCK:
    _say(words)


@functools.cache
def _say(words: str) -> None:
  print(words, file=sys.stderr, flush=True)
