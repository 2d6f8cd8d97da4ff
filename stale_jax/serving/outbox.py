"""Finished chunks on their way from the engine's thread to the connection of a client."""

import asyncio
import collections
import contextlib
import dataclasses
import threading
from typing import Protocol, runtime_checkable

import numpy as np

from stale_jax.serving.refusal import RefusalError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chunk:
  """A finished chunk of a stream.

  Attributes:
    number: index of the chunk in its stream.
    prompt: the prompt with which it entered.
    made: when it was finished, in seconds of `time.monotonic`.
    clip: sense -> [frames, *shape], in [-1, 1].
  """

  number: int
  prompt: str
  made: float
  clip: dict[str, np.ndarray]


@runtime_checkable
class Receiver(Protocol):
  """What takes the chunks of a stream. The engine's thread calls it, so that it must not block."""

  def put(self, chunk: Chunk) -> None:
    """Takes a chunk."""

  def end(self, code: str) -> None:
    """Says that no chunk follows, and why: "done", "closed" or a key of `refusal.CODES`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Taken:
  """What a reader gets.

  Attributes:
    chunk: the oldest chunk that waits; None if the stream has ended.
    dropped: number of chunks that were dropped since the last call.
    ended: why the stream has ended; None while it goes on.
  """

  chunk: Chunk | None
  dropped: int
  ended: str | None


class Outbox:
  """A bounded queue between the engine's thread and one reader in an event loop.

  A slow reader loses its oldest chunks; the engine never waits. A reader that attaches supersedes the one
  before it, whose connection may be dead without knowing it.

  Args:
    room: number of chunks that may wait.
    loop: the event loop of the readers.

  Attributes:
    dropped: number of chunks dropped so far.
  """

  def __init__(self, room: int, loop: asyncio.AbstractEventLoop):
    self._room, self._loop = room, loop
    self._lock = threading.Lock()
    self._chunks: collections.deque[Chunk] = collections.deque()
    self._ended: str | None = None
    self._reader, self._event = 0, asyncio.Event()
    self.dropped, self._told = 0, 0

  def put(self, chunk: Chunk) -> None:
    """See `Receiver`."""
    with self._lock:
      if len(self._chunks) == self._room:
        self._chunks.popleft()
        self.dropped += 1
      self._chunks.append(chunk)
    self._notify()

  def end(self, code: str) -> None:
    """See `Receiver`."""
    with self._lock:
      self._ended = self._ended or code
    self._notify()

  def attach(self) -> int:
    """Returns the number of a new reader, the only one that `take` answers from now on."""
    self._reader += 1
    self._event.set()
    return self._reader

  def is_reader(self, reader: int) -> bool:
    """Whether no other reader has attached since."""
    return reader == self._reader

  async def take(self, reader: int) -> Taken:
    """Waits for the next chunk, or for the end of the stream.

    Raises:
      RefusalError: another reader has attached.
    """
    while True:
      if not self.is_reader(reader):
        raise RefusalError("superseded", "another connection has resumed this stream.")
      with self._lock:
        if self._chunks or self._ended is not None:
          chunk = self._chunks.popleft() if self._chunks else None
          dropped, self._told = self.dropped - self._told, self.dropped
          return Taken(chunk=chunk, dropped=dropped, ended=None if chunk else self._ended)
        self._event.clear()
      await self._event.wait()

  def _notify(self) -> None:
    with contextlib.suppress(RuntimeError):  # The loop is closed.
      self._loop.call_soon_threadsafe(self._event.set)
