"""Handles SIGTERM, the signal by which clusters announce that they are about to kill a run."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


@contextlib.contextmanager
def preemption() -> Iterator[Callable[[int], bool]]:
  """Yields a function that must be called with the number of each step; it returns whether to save and stop.

  It returns True after SIGTERM. In a run of several processes, it returns True at the same step in all of
  them.
  """
  if jax.distributed.is_initialized():
    yield multihost_utils.reached_preemption_sync_point
    return
  received = []
  try:
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
  except ValueError:  # Not the main thread: another part of the program handles signals.
    yield lambda step: False
    return
  try:
    yield lambda step: bool(received)
  finally:
    signal.signal(signal.SIGTERM, before)
