"""The engine's thread, with an engine that makes no pictures: admission, slow readers, jobs, lost clients."""

import asyncio
import threading
import time

import numpy as np
import pytest

from stale_jax.serving.limits import Limits
from stale_jax.serving.live import Live
from stale_jax.serving.metrics import Metrics
from stale_jax.serving.outbox import Chunk, Outbox
from stale_jax.serving.refusal import RefusalError

DEPTH = 3


class Engine:
  """Emits the chunk that entered DEPTH - 1 ticks ago; its picture is the length of its prompt."""

  depth = DEPTH

  def __init__(self, seconds=0.0):
    self.alone = seconds
    self.flight, self.seconds, self.ticks, self.fails = {}, seconds, 0, False

  def prime(self, name, row):
    assert not self._moved({name: row})

  def tick(self, rows):
    self.ticks += 1
    if self.fails:
      raise RuntimeError("device lost")
    self.flight = {name: flight for name, flight in self.flight.items() if name in rows}
    return self._moved(rows)

  def _moved(self, rows):
    time.sleep(self.seconds)
    made = {}
    for name, row in rows.items():
      count, flight = self.flight.get(name, (0, []))
      flight.append((count, len(row.prompt)) if row.enters else None)
      self.flight[name] = (count + row.enters, flight)
      if len(flight) == DEPTH and (leaving := flight.pop(0)) is not None:
        made[name] = leaving[0], {"sight": np.full((1, 2, 2, 3), leaving[1], np.float32)}
    return made


class Log:
  """A receiver that keeps everything."""

  def __init__(self):
    self.chunks, self.code, self.over = [], None, threading.Event()

  def put(self, chunk):
    self.chunks.append(chunk)

  def end(self, code):
    self.code = code
    self.over.set()


@pytest.fixture
def make():
  started = []

  def build(capacity=2, period=0.01, engine=None, **limits):
    live = Live(engine or Engine(), capacity, period, Limits(**limits), Metrics())
    live.start()
    started.append(live)
    return live

  yield build
  for live in started:
    live.stop()


def wait(condition, seconds=10):
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, "not in time"
    time.sleep(0.005)


def test_chunks_come_at_the_rate_and_with_their_prompts(make):
  live, log = make(period=0.05), Log()
  stream = live.open("one", "c", log)
  wait(lambda: len(log.chunks) >= 4)
  first = live.set_prompt(stream, "three", cut=False)
  wait(lambda: len(log.chunks) > first + 2)
  live.close(stream)
  assert log.code == "closed"
  assert [c.number for c in log.chunks] == list(range(len(log.chunks)))
  for chunk in log.chunks:
    assert chunk.prompt == ("one" if chunk.number < first else "three")
    assert chunk.clip["sight"].max() == len(chunk.prompt)
  intervals = np.diff([c.made for c in log.chunks])
  assert np.median(intervals) == pytest.approx(0.05, rel=0.2)
  assert live.metrics.misses._value.get() <= 1


def test_the_first_chunk_does_not_wait_for_all_levels(make):
  period = 1.5  # So long that a busy machine matters little.
  live, old, new = make(period=period), Log(), Log()
  live.open("a", "c", old)
  wait(lambda: old.chunks, seconds=0.8 * period)  # At once, since nobody else waits.
  began = time.monotonic()
  live.open("b", "c", new)
  wait(lambda: new.chunks)
  assert time.monotonic() - began < 1.5 * period and new.chunks[0].number == 0
  assert live.metrics.misses._value.get() == 0


def test_beyond_the_capacity_streams_are_refused_and_the_others_stay(make):
  live, logs = make(), [Log(), Log()]
  streams = [live.open("a", f"c{i}", log) for i, log in enumerate(logs)]
  with pytest.raises(RefusalError) as refused:
    live.open("a", "c3", Log())
  assert refused.value.code == "full" and refused.value.retry_after > 0
  live.close(streams[0])
  live.open("a", "c3", Log())
  before = len(logs[1].chunks)
  wait(lambda: len(logs[1].chunks) > before + 5)
  assert logs[1].code is None


def test_one_client_has_a_limit(make):
  live = make(capacity=8, streams_per_client=2)
  live.open("a", "c", Log()), live.open("a", "c", Log())
  with pytest.raises(RefusalError) as refused:
    live.open("a", "c", Log())
  assert refused.value.code == "too_many_streams"
  live.open("a", "other", Log())


def test_jobs_make_room_and_run_fast(make):
  live, jobs = make(period=0.2), [Log(), Log()]
  for log in jobs:
    assert live.open_job("job", 0, 1000, "c", log) is not None
  assert live.open_job("job", 0, 5, "c", Log()) is None
  wait(lambda: len(jobs[0].chunks) > 50, seconds=5)  # Faster than the period.
  first = Log()
  live.open("a", "c", first)
  assert jobs[1].code == "preempted" and jobs[0].code is None
  live.open("a", "c", Log())
  assert jobs[0].code == "preempted"
  with pytest.raises(RefusalError):
    live.open("a", "c", Log())


def test_a_job_ends_after_its_chunks(make):
  live, log = make(), Log()
  live.open_job("job", 0, 7, "c", log)
  assert log.over.wait(10) and log.code == "done" and len(log.chunks) == 7


def test_a_lost_client_may_resume_for_a_while(make):
  live, log = make(resume_seconds=0.3), Log()
  stream = live.open("a", "c", log)
  live.leave(stream)
  with pytest.raises(RefusalError) as refused:
    live.find(stream.id, "wrong")
  assert refused.value.code == "no_such_stream"
  assert live.find(stream.id, stream.token) is stream
  time.sleep(0.5)
  assert log.code is None and len(log.chunks) > 10
  live.leave(stream)
  assert log.over.wait(5) and log.code == "idle"
  with pytest.raises(RefusalError):
    live.find(stream.id, stream.token)


def test_draining_finishes_what_has_entered(make):
  live, log, job = make(), Log(), Log()
  stream = live.open("a", "c", log)
  live.open_job("job", 0, 30, "c", job)
  wait(lambda: len(log.chunks) > 2)
  live.drain()
  assert log.over.wait(5) and log.code == "done" and len(log.chunks) == stream.entered
  assert job.over.wait(5) and job.code == "done" and len(job.chunks) == 30
  with pytest.raises(RefusalError) as refused:
    live.open("a", "c", Log())
  assert refused.value.code == "draining"
  wait(lambda: live.is_idle)


def test_an_engine_that_is_too_slow_misses_and_goes_on(make):
  live, log = make(period=0.02, engine=Engine(seconds=0.05)), Log()
  live.open("a", "c", log)
  wait(lambda: len(log.chunks) > 5)
  assert live.metrics.misses._value.get() >= 5


def test_a_failed_engine_ends_streams_with_a_code(make):
  engine, log = Engine(), Log()
  live = make(engine=engine)
  live.open("a", "c", log)
  engine.fails = True
  assert log.over.wait(5) and log.code == "engine_failed" and live.has_failed
  with pytest.raises(RefusalError) as refused:
    live.open("a", "c", Log())
  assert refused.value.code == "engine_failed"


def test_a_slow_reader_loses_its_own_oldest_chunks(make):
  async def main():
    live, fast = make(), Log()
    slow = Outbox(4, asyncio.get_running_loop())
    live.open("a", "c", slow), live.open("a", "c", fast)
    reader = slow.attach()
    await asyncio.to_thread(wait, lambda: len(fast.chunks) >= 20)
    taken = await slow.take(reader)
    assert taken.dropped >= 10 and taken.chunk.number >= taken.dropped
    assert [c.number for c in fast.chunks] == list(range(len(fast.chunks)))
    assert np.median(np.diff([c.made for c in fast.chunks])) < 0.03
    other = slow.attach()
    with pytest.raises(RefusalError) as refused:
      await slow.take(reader)
    assert refused.value.code == "superseded"
    numbers = [(await slow.take(other)).chunk.number for _ in range(3)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))

  asyncio.run(main())


def test_an_outbox_gives_all_chunks_before_its_end():
  async def main():
    box = Outbox(3, asyncio.get_running_loop())
    reader = box.attach()
    box.put(Chunk(number=0, prompt="", made=0.0, clip={}))
    box.end("closed")
    assert (await box.take(reader)).chunk.number == 0
    taken = await box.take(reader)
    assert taken.chunk is None and taken.ended == "closed"

  asyncio.run(main())
