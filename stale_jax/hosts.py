"""Runs of several JAX processes: connects them, detects processes that died, and shuts them down.

The environment variables JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES and
JAX_PROCESS_ID configure the connection. On a TPU pod, JAX detects these values.

If a process dies, the others wait in a collective operation, on some networks for ever. JAX's heartbeats end
them, but with an abort that does not name the dead process. Each process therefore also writes its own
heartbeat to the key-value store of process 0. Process 0 watches the heartbeats of the others, and they watch
that of process 0. A process that misses a heartbeat, or fails itself, sends the reason to all others, and all
of them stop within `silence` plus a few seconds. The exit code is 3 if the same command can resume from the
last checkpoint, 2 after a `UserError`, and 1 after any other failure.
"""

import contextlib
import ctypes
import itertools
import json
import math
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils

from stale_jax.construct import construct
from stale_jax.data.source import in_threads
from stale_jax.errors import UserError
from stale_jax.gpu_memory import claim_gpu_memory
from stale_jax.training.settings import TrainingSettings

# Exit code: another process died, and starting all processes again resumes the run.
ABANDONED = 3
_BEATS, _ORDERS = "stale_jax/beats/", "stale_jax/orders/"
_DAY = 24 * 3600
_MEETINGS = itertools.count()  # Numbers the calls of `meet`, which are the same in all processes.
_PART = 1 << 26  # Bytes of a process that are exchanged at a time, through the memory of its devices.


def leads() -> bool:
  """Whether this is process 0, which prints for the user and writes the files that are written once."""
  return jax.process_index() == 0


def all_agree(here: bool) -> bool:
  """Whether `here` is true in every process; all processes must call this."""
  return here if jax.process_count() == 1 else bool(np.all(multihost_utils.process_allgather(np.array(here))))


def meet() -> None:
  """Waits, at most a day, until all processes have called this. A collective has a shorter time limit."""
  if jax.process_count() > 1:
    barrier = f"stale_jax/meet/{next(_MEETINGS)}"
    distributed.global_state.client.wait_at_barrier(barrier, _DAY * 1000)


def spread(function: Callable[[int], Any], count: int) -> list[Any]:
  """[function(0), ..., function(count - 1)], computed by all processes; all of them must call this.

  Of n processes, process k computes the results k, k + n, k + 2n, ... in several threads. All processes
  receive all results, which must be picklable. If `function` raises in one process, the others end with it
  (see `join_processes`).
  """
  me, processes = jax.process_index(), jax.process_count()
  if processes == 1:
    return in_threads(function, count)
  mine = in_threads(lambda k: function(me + k * processes), len(range(me, count, processes)))
  meet()  # The work of a process may take hours.
  each = [pickle.loads(data) for data in _gathered(pickle.dumps(mine))]
  return [each[index % processes][index // processes] for index in range(count)]


def _gathered(data: bytes) -> list[bytes]:
  """The bytes of every process; all processes must call this."""
  sizes = multihost_utils.process_allgather(np.array(len(data), np.int32)).reshape(-1)
  parts = []
  for start in range(0, sizes.max(), _PART):
    part = np.zeros(min(_PART, sizes.max() - start), np.uint8)
    own = np.frombuffer(data[start : start + _PART], np.uint8)
    part[: len(own)] = own
    parts.append(multihost_utils.process_allgather(part))
  rows = np.concatenate(parts, 1)
  return [row[:size].tobytes() for row, size in zip(rows, sizes, strict=True)]


@contextlib.contextmanager
def join_processes(config: Mapping[str, Any]) -> Iterator[None]:
  """Connects this process to the others of a run; inside the context, JAX sees the devices of all of them.

  It must be entered before any device is used. If this process fails or another one dies, the program exits
  inside the context, with a message on stderr.

  Args:
    config: a config; `training.processes` is the number of processes.

  Raises:
    UserError: the processes cannot connect, or their number differs from `training.processes`.
  """
  training = construct(TrainingSettings, config.get("training", {}), "training")
  if training.processes == 1 and os.environ.get("JAX_NUM_PROCESSES", "1") == "1":
    yield
    return
  _connect(training)
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
    # The death of another process can also raise an error in a collective operation. In that case the watch
    # finds out within this time, and exits with a better message.
    time.sleep(training.silence + 5 * watch.pause)
    watch.order(1, f"process {jax.process_index()} failed; see its output")
    _leave(1, "this process failed; see the traceback above")
  # A process that has finished keeps sending heartbeats while the others still write files.
  watch.wait_for_all()
  watch.stop()
  jax.distributed.shutdown()


def _connect(training: TrainingSettings) -> None:
  names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
  values = [os.environ.get(name) for name in names]
  if any(values) and not all(values):
    raise UserError(f"set all of {', '.join(names)}, or none of them.")
  try:
    address, count, process = values[0], *(x and int(x) for x in values[1:])
  except ValueError as error:
    raise UserError(
      f"JAX_NUM_PROCESSES={values[1]} and JAX_PROCESS_ID={values[2]} must be whole numbers."
    ) from error
  _check_count(count or training.processes, training)
  claim_gpu_memory()
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  name = f"process {process} of {count} at {address}" if address else f"one of {training.processes} processes"
  limit = math.ceil(3 * training.silence)
  # If JAX's own limit is reached, it aborts without a clear message.
  message = f"the processes did not connect: {name} waited {limit} s for the others."
  timeout = threading.Timer(limit, _leave, (2, message))
  timeout.daemon = True
  timeout.start()
  try:
    jax.distributed.initialize(
      address,
      count,
      process,
      # With an address, JAX must not look for Slurm, where it would use one device per process.
      cluster_detection_method="deactivate" if address else None,
      initialization_timeout=limit + 60,
      # JAX sends a heartbeat in half of this time. Our heartbeats time out earlier; those of JAX are for the
      # case that process 0 hangs.
      heartbeat_timeout_seconds=2 * math.ceil(training.silence) + 20,
    )
  except ValueError as error:
    raise UserError(f"the processes did not connect: {' '.join(str(error).split())}") from error
  except jax.errors.JaxRuntimeError as error:  # For example, the others are still ending the last run.
    _leave(ABANDONED, f"the processes did not connect: {name}: {str(error).strip().splitlines()[0]}")
  finally:
    timeout.cancel()
  _check_count(jax.process_count(), training)


def _check_count(count: int, training: TrainingSettings) -> None:
  if count != training.processes:
    raise UserError(f"this is a run of {count} processes, but training.processes={training.processes}.")


def _leave(code: int, reason: str) -> None:
  # sys.exit would wait for the other processes, and the main thread may hang in a collective operation.
  sys.stdout.flush()
  print(f"error: {reason}", file=sys.stderr, flush=True)
  os._exit(code)


class _Watch(threading.Thread):
  """A thread that sends heartbeats and watches those of other processes.

  It ends the program if another process dies or orders it to exit.

  Attributes:
    pause: seconds between two heartbeats.
  """

  def __init__(self, silence: float):
    super().__init__(daemon=True)
    self.pause = min(1.0, silence / 10)
    self._silence = silence
    self._me, self._count = jax.process_index(), jax.process_count()
    self._client = distributed.global_state.client
    # Process -> (its latest heartbeat, when it was received).
    self._last_beat = {process: (None, time.monotonic()) for process in range(self._count)}
    self._rounds = 0  # Completed exchanges with process 0.
    self._ordered = False
    self._stopped = threading.Event()
    self._explain_aborts()

  def run(self) -> None:
    for number in itertools.count():
      with contextlib.suppress(jax.errors.JaxRuntimeError):  # Process 0 died: see `_explain_aborts`.
        self._exchange(number)
        self._rounds += 1
      if self._stopped.wait(self.pause):
        return

  def _exchange(self, number: int) -> None:
    """Sends heartbeat `number`, reads orders and heartbeats, and exits if an order or a death requires it."""
    folder = _ORDERS if self._me == 0 else _BEATS
    self._client.key_value_set(f"{folder}{self._me}", str(number), allow_overwrite=True)
    orders = self._read(_ORDERS)
    if "stop" in orders and not self._ordered:
      self._let_others_read()
      _leave(*json.loads(orders["stop"]))
    # Process 0 watches all others and they watch only process 0, so that a round costs O(n) for n processes.
    beats = self._read(_BEATS) if self._me == 0 else {"0": orders.get("0")}
    now = time.monotonic()
    for process, beat in beats.items():
      if self._last_beat[int(process)][0] != beat:
        self._last_beat[int(process)] = beat, now
    for process in range(1, self._count) if self._me == 0 else [0]:
      if now - self._last_beat[process][1] > self._silence:
        reason = self._death_of(process, f"has sent no heartbeat for {self._silence:g} s")
        self.order(ABANDONED, reason)
        _leave(ABANDONED, reason)

  def _death_of(self, process: int, symptom: str) -> str:
    return (
      f"process {process} of {self._count} {symptom} (it was killed, or its machine or network is down); "
      "start all of them again to resume from the last checkpoint"
    )

  def _read(self, folder: str) -> dict[str, str]:
    return {key.rsplit("/", 1)[1]: value for key, value in self._client.key_value_dir_get(folder)}

  def order(self, code: int, reason: str) -> None:
    """Orders all other processes to exit with `code` and print `reason`."""
    self._ordered = True
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # There already is an order, which remains.
      self._client.key_value_set(f"{_ORDERS}stop", json.dumps([code, reason]))
    self._let_others_read()

  def _let_others_read(self) -> None:
    if self._me == 0:  # The store ends with process 0.
      time.sleep(4 * self.pause)

  def wait_for_all(self) -> None:
    """Waits until all processes have finished, at most a day."""
    self._client.wait_at_barrier("stale_jax/end", _DAY * 1000)

  def stop(self) -> None:
    self._stopped.set()
    self.join()
    self._libc.signal(signal.SIGABRT, None)

  def _explain_aborts(self) -> None:
    """Installs a signal handler that explains why JAX aborts this process. Other aborts are not affected.

    JAX aborts as soon as process 0 dies, from a C++ thread, before Python would run a signal handler. The
    handler is therefore installed with the C library.
    """
    self._libc = ctypes.CDLL(None)

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def explain(number):
      rounds = self._rounds
      time.sleep(3 * self.pause)
      if self._rounds == rounds or self._ordered:
        # In process 0, name the process that has been silent for longest (it may have restarted too early).
        dead = 0 if self._me else min(range(1, self._count), key=lambda process: self._last_beat[process][1])
        _leave(ABANDONED, self._death_of(dead, "died or does not answer"))
      self._libc.signal(signal.SIGABRT, None)

    self._handler = explain  # A reference, so that it is not garbage-collected.
    self._libc.signal(signal.SIGABRT, explain)
