"""Runs functions on untrusted files in a separate process, which may crash, hang or run out of memory.

The process is reused between calls and restarted after it has died. Calls and results are lines of JSON. The
process is a new interpreter, not a fork, so that no locks or threads of decoders are copied. It ends when its
parent ends.
"""

import contextlib
import importlib
import json
import os
import resource
import selectors
import subprocess
import sys
import threading
import time
from typing import Any

from stale_jax.data.decode.container import Unreadable
from stale_jax.errors import UserError
from stale_jax.files import FULL

_MEMORY = 8 * 2**30  # Limit of the address space of the process, in bytes.
_START = 120.0  # Seconds that the process may take to start.


class IsolatedProcess:
  """A separate process that runs functions. It is started by the first call, and must be closed."""

  def __init__(self):
    self._process = None

  def call(self, function: str, name: str, seconds: float, **arguments) -> Any:
    """Calls a function in the process.

    Args:
      function: "module:function".
      name: name of the file that the function reads, for error messages.
      seconds: time limit for the call.
      **arguments: keyword arguments of the function, serializable as JSON.

    Returns:
      The result of the function, which must be serializable as JSON.

    Raises:
      Unreadable: the function raises it; or its reason is "crashed" (the process died), "too_slow" (the time
        limit is exceeded), "too_large" (the memory limit is exceeded) or "unexpected" (the function raises
        another exception).
      UserError: the function raises it, the disk is full, or the process does not start.
    """
    if self._process is None:
      command = [sys.executable, "-m", __spec__.name]
      pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
      self._process = subprocess.Popen(command, **pipes)
      if self._read_line(_START) is None:
        self.close()
        raise UserError(
          f"the process that decodes videos did not start within {_START:.0f} s; try fewer workers."
        )
    try:
      self._process.stdin.write(json.dumps([function, arguments]).encode() + b"\n")
      self._process.stdin.flush()
      line = self._read_line(seconds)
    except BrokenPipeError:
      line = b""
    if not line:
      self.close()
      words = f"takes longer than {seconds:.0f} s to decode." if line is None else "crashes the decoder."
      raise Unreadable("too_slow" if line is None else "crashed", name, words)
    result = json.loads(line)
    if "reason" in result:
      raise Unreadable(result["reason"], name, result["words"])
    if "error" in result:
      raise UserError(result["error"])
    return result["value"]

  def _read_line(self, seconds: float) -> bytes | None:
    """A complete line from the process; b"" if the process has died, None if the time limit is exceeded."""
    end, line = time.monotonic() + seconds, bytearray()
    with selectors.DefaultSelector() as selector:
      selector.register(self._process.stdout, selectors.EVENT_READ)
      while not line.endswith(b"\n"):
        if not selector.select(max(0, end - time.monotonic())):
          return None
        piece = os.read(self._process.stdout.fileno(), 1 << 16)
        if not piece:
          return b""
        line += piece
    return bytes(line)

  def close(self) -> None:
    """Kills the process, if it is running."""
    if self._process is not None:
      self._process.kill()
      for pipe in (self._process.stdin, self._process.stdout):
        with contextlib.suppress(OSError):
          pipe.close()
      self._process.wait()
      self._process = None


def _watch(parent: int) -> None:
  """Ends this process when its parent `parent` has ended."""
  while os.getppid() == parent:
    time.sleep(0.2)
  os._exit(1)


def _run(function: str, arguments: dict) -> dict:
  module, _, name = function.partition(":")
  try:
    return {"value": getattr(importlib.import_module(module), name)(**arguments)}
  except Unreadable as error:
    return {"reason": error.reason, "words": error.args[2]}
  except UserError as error:
    return {"error": str(error)}
  except MemoryError:
    return {"reason": "too_large", "words": "needs more memory than one file may use."}
  except Exception as error:
    if isinstance(error, OSError) and error.errno in FULL:
      return {"error": f"{error.strerror}: free some space and run again."}
    # Decoders raise many different errors on corrupt files. No single file may stop the run.
    return {"reason": "unexpected", "words": f"cannot be used: {type(error).__name__}: {error}"[:500]}


def _serve() -> None:
  with contextlib.suppress(ValueError, OSError):  # Fails if the hard limit is lower already, which suffices.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
  out = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)  # Libraries may print to stdout; only `out` carries results.
  import cv2

  cv2.setNumThreads(1)
  print("ready", file=out, flush=True)
  for line in sys.stdin:
    print(json.dumps(_run(*json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
  _serve()
