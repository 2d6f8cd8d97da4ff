"""Several JAX processes that train as one: how they meet, hear of each other's end, and part.

They meet where JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID
say; on a TPU pod, JAX finds that out by itself.

A process that is gone leaves the others waiting in a collective, for ever on some networks. JAX's own
heartbeats end these, but by an abort that does not say who was missed. So each process also beats
itself, in the key-value store that process 0 keeps; process 0 watches the others' beats, they watch its,
and whoever misses one, or fails, gives the reason to all. They then stop within `silence` and some
seconds: with exit code 3 if the same command may go on from the last checkpoint, 2 if it is of no use.
"""

import contextlib
import ctypes
import itertools
import json
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils

from stale_jax.construct import construct
from stale_jax.errors import UserError
from stale_jax.training.settings import TrainingSettings

# Exit code: another process is gone, and starting all of them again helps.
ABANDONED = 3
_BEATS, _ORDERS = "stale_jax/beats/", "stale_jax/orders/"
_DAY = 24 * 3600


def leads() -> bool:
  """Whether this process is the one that speaks, and writes what is written once."""
  return jax.process_index() == 0


def whole(x) -> np.ndarray:
  """All of an array that may be cut over the processes; each of them must call this."""
  if isinstance(x, jax.Array) and not (x.is_fully_addressable or x.is_fully_replicated):
    x = multihost_utils.process_allgather(x, tiled=True)
  return np.asarray(jax.device_get(x))


def all_agree(here: bool) -> bool:
  """Whether `here` is true in every process; each of them must call this."""
  return here if jax.process_count() == 1 else bool(np.all(multihost_utils.process_allgather(np.array(here))))


@contextlib.contextmanager
def join_processes(config: Mapping[str, Any]) -> Iterator[None]:
  """Inside, this process is one of the `training.processes` of `config`; no device may be touched before.

  If this one fails or another is gone, the program exits from within.

  Raises:
    UserError: the processes do not meet, or there are not as many as the config says.
  """
  training = construct(TrainingSettings, config.get("training", {}), "training")
  if training.processes == 1 and os.environ.get("JAX_NUM_PROCESSES", "1") == "1":
    yield
    return
  _meet(training)
  watch = _Watch(training.silence)
  watch.start()
  try:
    yield
  except (UserError, KeyboardInterrupt) as error:
    reason = " ".join(str(error).split()) or "interrupted"
    watch.order(2, f"process {jax.process_index()} stopped: {reason}")
    _leave(2 if isinstance(error, UserError) else 130, reason)
  except BaseException:
    traceback.print_exc()
    # This may be how another's end looks from inside a collective: then the watch knows more, soon.
    time.sleep(training.silence + 5 * watch.pause)
    watch.order(1, f"process {jax.process_index()} failed; see what it says")
    _leave(1, "this process failed")
  # Whoever is done first waits, and still beats, for what the others have to write.
  watch.wait_for_all()
  watch.stop()
  jax.distributed.shutdown()


def _meet(training: TrainingSettings) -> None:
  names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
  given = [os.environ.get(name) for name in names]
  if any(given) and not all(given):
    raise UserError(f"set all of {', '.join(names)}, or none of them.")
  try:
    address, count, process = given[0], *(x and int(x) for x in given[1:])
  except ValueError as error:
    raise UserError(f"JAX_NUM_PROCESSES={given[1]} and JAX_PROCESS_ID={given[2]} must be numbers.") from error
  _check_count(count or training.processes, training)
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  who = f"process {process} of {count} at {address}" if address else f"these {training.processes}"
  limit = math.ceil(3 * training.silence)
  # JAX's own limit, too, is an abort that says little.
  late = threading.Timer(limit, _leave, (2, f"the processes did not meet: {who} waited {limit} s in vain."))
  late.daemon = True
  late.start()
  try:
    jax.distributed.initialize(
      address,
      count,
      process,
      initialization_timeout=limit + 60,
      # JAX sends one in half this time. Ours are missed first; these are for a process 0 that hangs.
      heartbeat_timeout_seconds=2 * math.ceil(training.silence) + 20,
    )
  except ValueError as error:
    raise UserError(f"the processes did not meet: {' '.join(str(error).split())}") from error
  except jax.errors.JaxRuntimeError as error:  # Such as: the others are still about to end the last run.
    _leave(ABANDONED, f"the processes did not meet: {who}: {str(error).strip().splitlines()[0]}")
  finally:
    late.cancel()
  _check_count(jax.process_count(), training)


def _check_count(count: int, training: TrainingSettings) -> None:
  if count != training.processes:
    raise UserError(f"this is a run of {count} processes, and training.processes={training.processes}.")


def _leave(code: int, reason: str) -> None:
  # Not sys.exit: the way out would wait for the others, and the main thread may hang in a collective.
  sys.stdout.flush()
  print(f"error: {reason}", file=sys.stderr, flush=True)
  os._exit(code)


class _Watch(threading.Thread):
  """Beats, listens for beats and orders, and obeys."""

  def __init__(self, silence: float):
    super().__init__(daemon=True)
    self.pause = min(1.0, silence / 10)
    self._silence = silence
    self._me, self._count = jax.process_index(), jax.process_count()
    self._client = distributed.global_state.client
    self._heard = {process: (None, time.monotonic()) for process in range(self._count)}
    self._answered = 0
    self._ordered = False
    self._over = threading.Event()
    self._speak_before_aborting()

  def run(self) -> None:
    for number in itertools.count():
      with contextlib.suppress(jax.errors.JaxRuntimeError):  # Process 0 is gone: see below.
        self._turn(number)
        self._answered += 1
      if self._over.wait(self.pause):
        return

  def _turn(self, number: int) -> None:
    folder = _ORDERS if self._me == 0 else _BEATS
    self._client.key_value_set(f"{folder}{self._me}", str(number), allow_overwrite=True)
    orders = self._read(_ORDERS)
    if "stop" in orders and not self._ordered:
      self._let_others_read()
      _leave(*json.loads(orders["stop"]))
    # Process 0 hears all, the others hear it: a beat of n processes costs O(n).
    beats = self._read(_BEATS) if self._me == 0 else {"0": orders.get("0")}
    now = time.monotonic()
    for process, beat in beats.items():
      if self._heard[int(process)][0] != beat:
        self._heard[int(process)] = beat, now
    for process in range(1, self._count) if self._me == 0 else [0]:
      if now - self._heard[process][1] > self._silence:
        reason = self._gone(process, f"has given no sign of life for {self._silence:g} s")
        self.order(ABANDONED, reason)
        _leave(ABANDONED, reason)

  def _gone(self, process: int, how: str) -> str:
    return (
      f"process {process} of {self._count} {how} (killed, or its machine or network is down); start all of "
      "them again to go on from the last checkpoint"
    )

  def _read(self, folder: str) -> dict[str, str]:
    return {key.rsplit("/", 1)[1]: value for key, value in self._client.key_value_dir_get(folder)}

  def order(self, code: int, reason: str) -> None:
    """Tells all the others to exit with `code`, and why."""
    self._ordered = True
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # The first order stands.
      self._client.key_value_set(f"{_ORDERS}stop", json.dumps([code, reason]))
    self._let_others_read()

  def _let_others_read(self) -> None:
    if self._me == 0:  # With it goes the store.
      time.sleep(4 * self.pause)

  def wait_for_all(self) -> None:
    self._client.wait_at_barrier("stale_jax/end", _DAY * 1000)

  def stop(self) -> None:
    self._over.set()
    self.join()
    self._libc.signal(signal.SIGABRT, None)

  def _speak_before_aborting(self) -> None:
    """Has a handler say why, when JAX aborts this process; any other abort goes its way.

    It does so at once when process 0 is gone, from a thread of C++, before Python would run a handler
    of its own: so this is one of the C library.
    """
    self._libc = ctypes.CDLL(None)

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def aborting(number):
      answered = self._answered
      time.sleep(3 * self.pause)
      if self._answered == answered or self._ordered:
        # In process 0 itself: who was restarted too early, or has been silent for longest.
        gone = 0 if self._me else min(range(1, self._count), key=lambda process: self._heard[process][1])
        _leave(ABANDONED, self._gone(gone, "is gone or does not answer"))
      self._libc.signal(signal.SIGABRT, None)

    self._aborting = aborting  # Must live as long as it may be called.
    self._libc.signal(signal.SIGABRT, aborting)
