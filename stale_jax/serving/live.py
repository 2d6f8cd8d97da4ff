"""The clock of the server: one thread that ticks the engine at the frame rate of the model.

A tick makes one chunk of every stream, so its period is the duration of a chunk. All other threads only open
and close streams and change prompts (`admission`).

- The first ticks of a new stream are made for it alone, in the time that is left before the next tick, so
  that its first chunk need not wait for as many periods as there are noise levels.
- A reader that is slow loses its own oldest chunks (`outbox`).
- A tick that is late counts as a miss of every stream; lost time is not caught up.
- While nobody has seen a chunk, because all streams are new or of jobs, ticks follow one another at once.
"""

import math
import threading
import time

from stale_jax.serving.admission import Admission
from stale_jax.serving.engine import Ticker
from stale_jax.serving.limits import Limits
from stale_jax.serving.logs import log, log_failure
from stale_jax.serving.metrics import Metrics
from stale_jax.serving.outbox import Chunk
from stale_jax.serving.stream import Stream

_MARGIN = 1.5  # A tick for a new stream must fit so many times into the time that is left.


class Live(Admission):
  """The streams of a server, and the thread that makes them.

  Args:
    engine: the device side, warm.
    capacity, limits, metrics: see `Admission`.
    period: seconds per tick.
  """

  def __init__(self, engine: Ticker, capacity: int, period: float, limits: Limits, metrics: Metrics):
    super().__init__(capacity, limits, metrics)
    self.period, self._engine = period, engine
    self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

  def start(self) -> None:
    """Starts the thread."""
    self._thread.start()

  def stop(self) -> None:
    """Ends all streams and the thread."""
    with self._changed:
      self._is_stopping = True
      self._changed.notify_all()
    self._thread.join(timeout=60)

  def _run(self) -> None:
    """The thread."""
    try:
      due = time.monotonic()
      while (streams := self._next(due)) is not None:
        began = max(due, time.monotonic())
        waits = any(s.is_watched for s in streams)
        due = began + self.period if waits else began
        self._tick(streams, due if waits else math.inf)
        due = max(due, time.monotonic())  # Lost time is not caught up.
    except Exception:  # Of the device or the compiler.
      log_failure("engine failed")
      self.has_failed = True
    finally:
      with self._changed:
        for stream in list(self._streams.values()):
          self._remove(stream, "engine_failed" if self.has_failed else "closed")

  def _next(self, due: float) -> list[Stream] | None:
    """Waits until a tick is due and there are streams; None when the server stops."""
    with self._changed:
      while not self._is_stopping:
        self._expire()
        now, new = time.monotonic(), self._to_prime(due)
        if new is None and self._streams and now >= due:
          return list(self._streams.values())
        if new is not None:
          row = new.row()
          self._changed.release()
          try:
            self._engine.prime(new.id, row)
          finally:
            self._changed.acquire()
        else:
          self._changed.wait(max(due - now, 0) if self._streams else None)
    return None

  def _to_prime(self, due: float) -> Stream | None:
    """A new stream for which there is time to make a tick of its own."""
    if not any(s.is_watched for s in self._streams.values()):
      return None
    if time.monotonic() + _MARGIN * self._engine.alone > due:
      return None
    new = (s for s in self._streams.values() if not s.is_seated and not s.is_job and s.sources is None)
    return next((s for s in new if s.ticks < self._engine.depth - 1), None)

  def _tick(self, streams: list[Stream], deadline: float) -> None:
    """Makes one chunk of each stream, which is late after `deadline`."""
    with self._changed:
      rows = {stream.id: stream.row() for stream in streams}
      for stream in streams:
        stream.is_seated = True
    began = time.monotonic()
    made = self._engine.tick(rows)
    ended = time.monotonic()
    by_id = {stream.id: stream for stream in streams}
    for name, (number, clip) in made.items():
      stream = by_id[name]
      prompt = stream.left()
      stream.receiver.put(Chunk(number=number, prompt=prompt, made=ended, clip=clip))
    is_late = ended > deadline
    self.metrics.ticks.inc()
    self.metrics.tick_seconds.observe(ended - began)
    self.metrics.chunks.inc(len(made))
    self.metrics.misses.inc(len(made) if is_late else 0)
    if is_late:
      log("late tick", seconds=round(ended - began, 3), late=round(ended - deadline, 3), streams=len(streams))
