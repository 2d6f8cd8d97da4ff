"""Which streams are admitted: a registry under a lock that is never held during a tick.

- A stream beyond the capacity is refused, so that the admitted streams keep their rate. Streams of jobs are
  made while there is room. A client takes the place of the newest job, which is made again later.
- A stream without a connection is kept for some seconds, in which its client can resume it. If there is no
  other room, it must make room after five seconds.
- A prompt takes effect with the next chunk that enters.
"""

import secrets
import threading
import time
from collections.abc import Callable

from stale_jax.serving.limits import Limits
from stale_jax.serving.metrics import Metrics
from stale_jax.serving.outbox import Receiver
from stale_jax.serving.refusal import RefusalError
from stale_jax.serving.sources import Sources
from stale_jax.serving.stream import Stream

_GRACE = 5.0  # Seconds after which a stream without a connection makes room if there is no other.
_RETRY = 10.0  # Seconds after which a refused client may try again.


class Admission:
  """The streams of a server.

  Args:
    capacity: number of streams that the engine can make in time.
    limits: limits of the server.
    metrics: what is counted.

  Attributes:
    is_draining: whether nothing new is admitted.
    has_failed: whether the engine has stopped after an error.
  """

  def __init__(self, capacity: int, limits: Limits, metrics: Metrics):
    self.capacity, self.limits, self.metrics = capacity, limits, metrics
    self.is_draining = self.has_failed = False
    self._streams: dict[str, Stream] = {}
    self._changed = threading.Condition()
    self._is_stopping = False
    metrics.capacity.set(capacity)

  def open(
    self,
    prompt: str,
    client: str,
    receiver: Receiver,
    *,
    seed: int | None = None,
    sources: Callable[[int], Sources] | None = None,
  ) -> Stream:
    """Admits a stream, which begins with the next tick.

    Args:
      prompt, seed: of the stream; without a seed, one is drawn.
      client: who opens it.
      receiver: what takes its chunks.
      sources: seed -> the queue of pictures, for video-to-video.

    Raises:
      RefusalError: there is no room, or the client has too many streams.
    """
    seed = secrets.randbelow(2**32) if seed is None else seed
    stream = Stream(
      id=f"stream_{secrets.token_hex(8)}",
      token=secrets.token_urlsafe(24),
      client=client,
      seed=seed,
      prompt=prompt,
      receiver=receiver,
      sources=sources(seed) if sources else None,
    )
    with self._changed:
      self._check_open()
      live = [s for s in self._streams.values() if not s.is_job]
      if sum(s.client == client for s in live) >= self.limits.streams_per_client:
        raise RefusalError(
          "too_many_streams",
          f"a client may have {self.limits.streams_per_client} streams; close one.",
          retry_after=_RETRY,
        )
      gone = [s for s in live if s.left_at is not None and time.monotonic() - s.left_at >= _GRACE]
      if len(live) >= self.capacity and gone:
        self._remove(min(gone, key=lambda s: s.left_at), "idle")
        live = [s for s in live if s.id in self._streams]
      if len(live) >= self.capacity:
        raise RefusalError(
          "full",
          f"all {self.capacity} streams of this server are taken; try again later.",
          retry_after=_RETRY,
        )
      if len(self._streams) >= self.capacity:  # The newest job makes room.
        job = [s for s in self._streams.values() if s.is_job][-1]
        self._remove(job, "preempted")
      self._add(stream)
    return stream

  def open_job(self, prompt: str, seed: int, chunks: int, client: str, receiver: Receiver) -> Stream | None:
    """Admits a stream of `chunks` chunks for a job; None if there is no room now."""
    with self._changed:
      if self.is_draining or self.has_failed or len(self._streams) >= self.capacity:
        return None
      stream = Stream(
        id=f"job_{secrets.token_hex(8)}",
        token="",
        client=client,
        seed=seed,
        prompt=prompt,
        receiver=receiver,
        last=chunks,
        is_job=True,
      )
      self._add(stream)
    return stream

  def find(self, name: str, token: str) -> Stream:
    """The stream `name` of a client that knows its token.

    Raises:
      RefusalError: there is no such stream, or the token is wrong.
    """
    with self._changed:
      stream = self._streams.get(name)
      if (
        stream is None
        or stream.is_job
        or not secrets.compare_digest(stream.token.encode(), token.encode(errors="replace"))
      ):
        raise RefusalError("no_such_stream", "there is no such stream, or it has ended: open a new one.")
      stream.left_at = None
      return stream

  def set_prompt(self, stream: Stream, prompt: str, cut: bool) -> int:
    """Changes the prompt; returns the number of the first chunk that it applies to."""
    with self._changed:
      stream.prompt, stream.cut = prompt, stream.cut or cut
      return stream.entered

  def leave(self, stream: Stream) -> None:
    """Says that the connection of the stream is lost."""
    with self._changed:
      stream.left_at = time.monotonic()

  def close(self, stream: Stream, code: str = "closed") -> None:
    """Ends a stream."""
    with self._changed:
      self._remove(stream, code)

  def drain(self) -> None:
    """Admits nothing new, and lets the chunks that have entered leave."""
    with self._changed:
      self.is_draining = True
      for stream in self._streams.values():
        if not stream.is_job:
          stream.last = stream.entered

  @property
  def streams(self) -> int:
    """Number of streams, without those of jobs."""
    with self._changed:
      return sum(not s.is_job for s in self._streams.values())

  @property
  def is_idle(self) -> bool:
    """Whether there is no stream of any kind."""
    with self._changed:
      return not self._streams

  def _check_open(self) -> None:
    if self.is_draining:
      raise RefusalError("draining", "the server is about to stop; try another one.", retry_after=_RETRY)
    if self.has_failed or self._is_stopping:
      raise RefusalError("engine_failed", "the engine of this server has stopped.")

  def _add(self, stream: Stream) -> None:
    self._streams[stream.id] = stream
    self.metrics.streams.set(len(self._streams))
    self._changed.notify_all()

  def _remove(self, stream: Stream, code: str) -> None:
    if self._streams.pop(stream.id, None) is not None:
      stream.receiver.end(code)
      self.metrics.streams.set(len(self._streams))

  def _expire(self) -> None:
    """Ends streams that are complete, or whose clients have been gone for too long; needs the lock."""
    now = time.monotonic()
    for stream in list(self._streams.values()):
      if stream.left_at is not None and now - stream.left_at >= self.limits.resume_seconds:
        self._remove(stream, "idle")
      elif stream.is_over:
        self._remove(stream, "done")
