"""A function called in a process of its own, which may crash, hang or fill the memory: files are not trusted.

The process lives on from call to call, and is started anew when it has died. Calls and answers are lines
of JSON. It is a fresh interpreter, not a fork: no decoder's locks or threads are copied. It ends with its
parent.
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

_MEMORY = 8 * 2**30  # Bytes of addresses that it may have.
_START = 120.0  # Seconds in which it is to start.


class Apart:
  """Such a process, started at the first call. To be closed."""

  def __init__(self):
    self._process = None

  def call(self, function: str, name: str, seconds: float, **arguments) -> Any:
    """What "module:function" returns for `arguments`, all of it plain data.

    Args:
      name: of the file, for the message.
      seconds: that it may take.

    Raises:
      Unreadable: the function raises it; or "crashed" or "too_slow"; or, if it raises anything else,
        "unexpected".
      UserError: the function raises it, or there is no room to write.
    """
    if self._process is None:
      command = [sys.executable, "-m", __spec__.name]
      pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
      self._process = subprocess.Popen(command, **pipes)
      if self._answer(_START) is None:
        self.close()
        raise UserError("the process that decodes videos does not start.")
    try:
      self._process.stdin.write(json.dumps([function, arguments]).encode() + b"\n")
      self._process.stdin.flush()
      answer = self._answer(seconds)
    except BrokenPipeError:
      answer = b""
    if not answer:
      self.close()
      words = f"takes longer than {seconds:.0f} s." if answer is None else "brings the decoder down."
      raise Unreadable("too_slow" if answer is None else "crashed", name, words)
    answer = json.loads(answer)
    if "reason" in answer:
      raise Unreadable(answer["reason"], name, answer["words"])
    if "error" in answer:
      raise UserError(answer["error"])
    return answer["value"]

  def _answer(self, seconds: float) -> bytes | None:
    """A line, whole or not at all: b"" if the process has died, None if it takes too long."""
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
    """Ends the process, whatever it is doing."""
    if self._process is not None:
      self._process.kill()
      for pipe in (self._process.stdin, self._process.stdout):
        with contextlib.suppress(OSError):
          pipe.close()
      self._process.wait()
      self._process = None


def _watch(parent: int) -> None:
  """Ends this process when its parent has ended."""
  while os.getppid() == parent:
    time.sleep(0.2)
  os._exit(1)


def _do(function: str, arguments: dict) -> dict:
  module, _, name = function.partition(":")
  try:
    return {"value": getattr(importlib.import_module(module), name)(**arguments)}
  except Unreadable as error:
    return {"reason": error.reason, "words": error.args[2]}
  except UserError as error:
    return {"error": str(error)}
  except MemoryError:
    return {"reason": "too_large", "words": "needs more memory than there is for one file."}
  except Exception as error:
    if isinstance(error, OSError) and error.errno in FULL:
      return {"error": f"{error.strerror}: there is no room to write."}
    # What broken files make of decoders has no end, and one of them stops no run.
    return {"reason": "unexpected", "words": f"cannot be used: {type(error).__name__}: {error}"[:500]}


def _serve() -> None:
  with contextlib.suppress(ValueError, OSError):  # A lower limit stays.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
  out = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)  # What libraries print is no answer.
  import cv2

  cv2.setNumThreads(1)
  print("ready", file=out, flush=True)
  for line in sys.stdin:
    print(json.dumps(_do(*json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
  _serve()
