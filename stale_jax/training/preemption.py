"""SIGTERM, by which clusters tell a run that it is about to be killed."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


@contextlib.contextmanager
def preemption() -> Iterator[Callable[[int], bool]]:
  """A function of the step, to be called at each: whether SIGTERM has come, so that the step is to be saved.

  In a run of several processes, all of them are told of the same step.
  """
  if jax.distributed.is_initialized():
    yield multihost_utils.reached_preemption_sync_point
    return
  came = []
  try:
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
  except ValueError:  # Not the main thread: another part of the program handles signals.
    yield lambda step: False
    return
  try:
    yield lambda step: bool(came)
  finally:
    signal.signal(signal.SIGTERM, before)
