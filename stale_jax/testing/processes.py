"""Measures the memory of this process and of all processes that it starts."""

import os
import threading
from pathlib import Path

_EVERY = 0.25  # Seconds between measurements.


class MemoryOfProcesses:
  """A context manager that measures memory while it is open.

  Attributes:
    most: the greatest sum, over the processes, of their proportional set sizes, in bytes: memory that several
      processes share is counted once.
  """

  def __init__(self):
    self.most, self._ended = 0, threading.Event()
    self._thread = threading.Thread(target=self._watch, daemon=True)

  def __enter__(self) -> "MemoryOfProcesses":
    self._thread.start()
    return self

  def __exit__(self, *_) -> None:
    self._ended.set()
    self._thread.join()

  def _watch(self) -> None:
    while not self._ended.wait(_EVERY):
      self.most = max(self.most, sum(map(_memory, _family())))


def _family() -> set[int]:
  """The ids of this process and of its descendants."""
  parents = {}
  for path in Path("/proc").glob("[0-9]*/stat"):
    try:
      parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    except OSError:  # The process has ended.
      continue
  family, before = {os.getpid()}, 0
  while len(family) > before:
    before = len(family)
    family |= {process for process, parent in parents.items() if parent in family}
  return family


def _memory(process: int) -> int:
  try:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
  except OSError:
    return 0
  return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
