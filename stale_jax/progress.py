"""Progress lines on stderr for operations that take long.

with Stage("sampling", 480, "clips") as stage:
  for batch in batches:
    ...
    stage.advance(len(batch))

sampling 480 clips ...
sampling: 64 of 480 clips, 1:10 left

A stage that ends at once prints nothing. STALE_JAX_QUIET=1 in the environment turns all lines off.
This module imports nothing heavy: a program can enter a stage before it imports JAX.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_DELAY = 0.7  # Seconds before the first line of a stage.
_INTERVAL = 10.0  # Least seconds between two further lines; they become rarer in long runs.
_SHARE = 30  # A run of T seconds prints a line every T / _SHARE seconds, if that is rarer.
_POLL = 0.25

T = TypeVar("T")

_active: list["Stage"] = []  # The outermost first.
_announced: set[str] = set()  # Texts whose first line has been printed since the outermost stage began.
_last_line = 0.0
_lock = threading.Lock()
_wake = threading.Event()
_thread: threading.Thread | None = None


class Stage:
  """A context manager for a long operation, which prints the name and the progress of the operation.

  A background thread prints the lines. Of nested stages, the innermost prints. A stage may be entered again,
  and then continues its count.

  Attributes:
    text: name of the operation, for example "sampling".
    total: number of items to process; 0 if items are not counted.
    unit: name of the items, in the plural.
    note: text in parentheses that is added to the first line.
    repeats: whether further lines follow the first.
  """

  def __init__(self, text: str, total: int = 0, unit: str = "", *, note: str = "", repeats: bool = True):
    self.text, self.total, self.unit, self.note, self.repeats = text, total, unit, note, repeats
    self._began: float | None = None
    self._done = 0.0
    self._first: tuple[float, float] | None = None  # (time, count) of the first `advance`.
    self._latest = 0.0

  def __enter__(self) -> "Stage":
    global _thread, _last_line
    with _lock:
      now = time.monotonic()
      if self._began is None:
        self._began = now
      if not _active:
        _announced.clear()
        _last_line = now
      _active.append(self)
      if _thread is None:
        _thread = threading.Thread(target=_report, name="progress", daemon=True)
        _thread.start()
      _wake.set()
    return self

  def __exit__(self, *_) -> None:
    with _lock:
      _active.reverse()
      _active.remove(self)  # The innermost entry.
      _active.reverse()
      if not _active:
        _wake.clear()

  def advance(self, count: float = 1) -> None:
    """Adds `count`, which may be a fraction, to the number of items done."""
    self._done = min(self._done + count, self.total)
    self._latest = time.monotonic()
    if self._first is None:
      self._first = self._latest, self._done

  def first_line(self) -> str:
    """The line that is printed when the stage has lasted _DELAY seconds."""
    what = f"{self.text} {self.total} {self.unit}" if self.total else self.text
    return f"{what} ({self.note}) ..." if self.note else f"{what} ..."

  def status(self, now: float) -> str:
    """The line about the progress and the remaining time at `now`, a value of `time.monotonic()`."""
    elapsed = now - (now if self._began is None else self._began)
    if not self.total:
      return f"{self.text}: {_clock(elapsed)} so far"
    line = f"{self.text}: {int(self._done + 1e-6)} of {self.total} {self.unit}"
    if self._first is None or not self._done:
      return f"{line} after {_clock(elapsed)}"
    at, count = self._first
    if self._done > count:  # The first batch includes compiling: measure the speed after it.
      speed = (self._done - count) / max(self._latest - at, 1e-9)
    else:
      speed = self._done / max(at - self._began, 1e-9)
    return f"{line}, {_clock((self.total - self._done) / speed)} left"


def tracked(items: Iterable[T], stage: Stage, amount: Callable[[T], float] = lambda _: 1) -> Iterator[T]:
  """Yields `items`. `stage` is active while an item is computed, and then advances by `amount(item)`."""
  items, end = iter(items), object()
  while True:
    with stage:
      item = next(items, end)
    if item is end:
      return
    stage.advance(amount(item))
    yield item


def _clock(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _report() -> None:
  """Prints the lines that are due; never returns."""
  while True:
    _wake.wait()
    with _lock:
      line = _due(time.monotonic())
    if line and os.environ.get("STALE_JAX_QUIET", "0") in ("", "0"):
      print(line, file=sys.stderr, flush=True)
    time.sleep(_POLL)


def _due(now: float) -> str | None:
  """The line to print now, if any."""
  global _last_line
  old = [stage for stage in _active if now - stage._began >= _DELAY]
  if not old:
    return None
  stage = old[-1]
  if stage.first_line() not in _announced:
    _announced.add(stage.first_line())
    _last_line = now
    return stage.first_line()
  pause = max(_INTERVAL, (now - _active[0]._began) / _SHARE)
  if not stage.repeats or now - _last_line < pause:
    return None
  _last_line = now
  return stage.status(now)


def _reset() -> None:
  """Clears the state in a forked child, which has no printing thread; the parent reports the stages."""
  global _thread, _lock, _wake
  _active.clear()
  _thread, _lock, _wake = None, threading.Lock(), threading.Event()


os.register_at_fork(after_in_child=_reset)
