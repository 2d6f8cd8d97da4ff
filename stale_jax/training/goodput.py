"""Goodput: the share of the time since a run's first start that went into steps that it still has.

Everything else is lost: starting, compiling, restoring, saving, steps that a restart repeats, and the
time between a kill and the next start. (Without the device telling more, a step that waits for data
counts as a step; metrics show that wait as `data_wait`.)

Time is that of the machine's monotonic clock, which all processes of one boot share and nobody sets;
only from one boot to the next is the wall clock believed.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from stale_jax.files import AnyPath, write_whole


class Goodput:
  """That of the run in `folder`; its first start is kept there, in `started.json`.

  Args:
    folder: of the run.
    productive: seconds of steps that stay from earlier starts.
  """

  def __init__(self, folder: AnyPath, productive: float = 0.0):
    self._productive = productive
    self._first = _first_start(folder / "started.json")
    # What has been counted reaches to here.
    self._counted = time.monotonic()

  @contextlib.contextmanager
  def lost(self) -> Iterator[None]:
    """The time inside is not productive; between two such times, steps are."""
    now = time.monotonic()
    self._productive += now - self._counted
    try:
      yield
    finally:
      self._counted = time.monotonic()

  def measure(self) -> dict[str, float]:
    """`goodput`, from 0 to 1, and `productive_seconds`, both of now."""
    now = time.monotonic()
    productive = self._productive + now - self._counted
    return {
      "goodput": min(productive / max(now - self._first, 1e-9), 1.0),
      "productive_seconds": productive,
    }


def _first_start(path: AnyPath) -> float:
  """When the run began, on this boot's monotonic clock (so possibly below 0); now, if it begins."""
  now = {"boot": _boot(), "monotonic": time.monotonic(), "wall": time.time()}
  try:
    first = json.loads(path.read_text())
    if first["boot"] == now["boot"] is not None:
      return min(first["monotonic"], now["monotonic"])
    return now["monotonic"] - max(now["wall"] - first["wall"], 0.0)
  except (OSError, ValueError, KeyError):
    write_whole(path, json.dumps(now))
    return now["monotonic"]


def _boot() -> str | None:
  """Names this boot of this machine; None where the system does not tell."""
  try:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
  except OSError:
    return None
