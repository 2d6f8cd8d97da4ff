"""Goodput: the share of the time since a run's first start that was spent on steps that were not lost.

All other time is lost: starting, compiling, restoring, saving, steps that a restart repeats, and the time
between a kill and the next start. A step that waits for data counts as productive; the metrics report that
wait as `data_wait`.

Times are measured with the machine's monotonic clock, which all processes share until the machine reboots and
which cannot be set. The wall clock is only used across reboots.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from stale_jax.files import AnyPath, write_whole


class Goodput:
  """The goodput of the run in `folder`. Its first start is recorded in the folder's `started.json`.

  Args:
    folder: the run's folder.
    productive: productive seconds of earlier starts, up to the step that the run resumes from.
  """

  def __init__(self, folder: AnyPath, productive: float = 0.0):
    self._productive = productive
    self._first = _first_start(folder / "started.json")
    # The time up to which productive time has been counted.
    self._counted = time.monotonic()

  @contextlib.contextmanager
  def lost(self) -> Iterator[None]:
    """Marks the time inside the context as lost. All other time is productive."""
    now = time.monotonic()
    self._productive += now - self._counted
    try:
      yield
    finally:
      self._counted = time.monotonic()

  def measure(self) -> dict[str, float]:
    """The current `goodput`, from 0 to 1, and `productive_seconds`."""
    now = time.monotonic()
    productive = self._productive + now - self._counted
    return {
      "goodput": min(productive / max(now - self._first, 1e-9), 1.0),
      "productive_seconds": productive,
    }


def _first_start(path: AnyPath) -> float:
  """The time of the run's first start on the monotonic clock; negative if it was before the last boot.

  If there is no record of a first start, or it is damaged, the current time is recorded and returned.
  """
  now = {"boot": _boot(), "monotonic": time.monotonic(), "wall": time.time()}
  try:
    first = json.loads(path.read_text())
    if first["boot"] == now["boot"] is not None:
      return min(first["monotonic"], now["monotonic"])
    return now["monotonic"] - max(now["wall"] - first["wall"], 0.0)
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    write_whole(path, json.dumps(now))
    return now["monotonic"]


def _boot() -> str | None:
  """An identifier of the current boot of the machine, or None if the system has none."""
  try:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
  except OSError:
    return None
