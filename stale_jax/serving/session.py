"""One WebSocket: a client that opens or resumes a stream, changes its prompt, and receives its chunks."""

import asyncio
import contextlib
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from stale_jax.serving import wire
from stale_jax.serving.access import check_access
from stale_jax.serving.limits import TokenBucket
from stale_jax.serving.logs import log
from stale_jax.serving.outbox import Outbox
from stale_jax.serving.refusal import RefusalError
from stale_jax.serving.server import Server
from stale_jax.serving.sources import decode_picture
from stale_jax.serving.stream import Stream
from stale_jax.serving.waveform import RATE, Waveform

# Codes of RFC 6455 with which a connection is closed; the event before it names the reason.
_NORMAL, _GOING_AWAY, _POLICY, _TRY_LATER = 1000, 1001, 1008, 1013
_LATER = ("full", "draining", "engine_failed", "too_many_streams")
_SOURCE_RATE = 4.0  # Pictures per frame of the model that a client may send.


class Session:
  """The connection of one client.

  Args:
    server: what all sessions share.
    socket: the connection, not yet accepted.
    client: the address of the client.
  """

  def __init__(self, server: Server, socket: WebSocket, client: str):
    self._server, self._socket, self._client = server, socket, client
    limits = server.limits
    self._bucket = TokenBucket(limits.messages_per_second, limits.burst)
    rate = _SOURCE_RATE * server.rate
    self._pictures = TokenBucket(rate, max(1, round(2 * rate)))
    self._stream: Stream | None = None
    self._reader, self._errors, self._floods = 0, 0, 0
    self._has_sound, self._waveform = False, None
    self._is_over = False

  async def run(self) -> None:
    """Serves the client until it leaves, its stream ends, or it breaks the rules."""
    await self._socket.accept()
    sending = None
    try:
      while self._stream is None and not self._is_over:
        await self._receive()
      sending = asyncio.create_task(self._send_chunks())
      while not self._is_over:
        receiving = asyncio.create_task(self._receive())
        await asyncio.wait((receiving, sending), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
          receiving.cancel()
          with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await receiving
          sending.result()
          break
        receiving.result()
    except (WebSocketDisconnect, RuntimeError, OSError):  # The client has gone; a send then raises either.
      pass
    finally:
      if sending is not None:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
      if self._stream is not None and self._is_mine():
        self._server.live.leave(self._stream)
      log("connection ended", client=self._client, stream=self._stream and self._stream.id)

  def _is_mine(self) -> bool:
    """Whether no other connection has resumed the stream."""
    return self._stream.receiver.is_reader(self._reader)

  async def _receive(self) -> None:
    """Handles the next message."""
    try:
      message = await asyncio.wait_for(self._socket.receive(), self._server.limits.idle_seconds)
    except TimeoutError:
      await self._end(RefusalError("idle", "nothing was received for the idle time; resume the stream."))
      return
    if message["type"] == "websocket.disconnect":
      raise WebSocketDisconnect(message.get("code", _GOING_AWAY))
    try:
      if message.get("text") is not None:
        await self._handle(message["text"])
      else:
        await self._picture(message.get("bytes") or b"")
    except RefusalError as error:
      await self._refuse(error)

  async def _refuse(self, error: RefusalError) -> None:
    """Tells the client about an error; too many of them, or a refused stream, end the connection."""
    self._server.metrics.refusals.labels(error.code).inc()
    self._errors += 1
    self._floods += error.code == "too_fast"
    if self._errors >= self._server.limits.errors:
      self._server.metrics.refusals.labels("too_many_errors").inc()
      text = f"{self._errors} messages were refused; the last: {error.message}"
      await self._end(RefusalError("too_many_errors", text))
    elif error.code in (*_LATER, "unauthorized", "no_such_stream"):
      await self._end(error)
    elif error.code != "too_fast" or self._floods % 10 == 1:  # An answer to each would add to the flood.
      await self._tell(error.event(fatal=False))

  async def _end(self, error: RefusalError) -> None:
    """Closes the connection because of `error`."""
    self._is_over = True
    log("connection refused", client=self._client, code=error.code)
    await self._tell(error.event(fatal=True))
    await self._socket.close(_TRY_LATER if error.code in _LATER else _POLICY, error.code)

  async def _tell(self, event: dict[str, Any]) -> None:
    await self._socket.send_json(event)

  async def _handle(self, text: str) -> None:
    """Handles a text message."""
    if not self._bucket.take():
      rate = self._server.limits.messages_per_second
      raise RefusalError("too_fast", f"at most {rate:g} messages per second are read.", retry_after=1)
    message = wire.parse(text, self._server.limits, self._server.prompt_bytes)
    if message.kind == "ping":
      await self._tell({"type": "pong", "sent": message.sent, "clock": time.monotonic()})
    elif message.kind in ("open", "resume"):
      if self._stream is not None:
        raise RefusalError("already_open", "this connection has a stream; open another connection.")
      check_access(self._server.access, message.access)
      await (self._open(message) if message.kind == "open" else self._resume(message))
    elif self._stream is None:
      raise RefusalError("not_open", "open or resume a stream first.")
    elif message.kind == "prompt":
      cut = self._server.cuts if message.cut is None else message.cut
      number = self._server.live.set_prompt(self._stream, message.prompt, cut)
      await self._tell({"type": "prompt", "prompt": message.prompt, "from_chunk": number})
    elif message.kind == "sound":
      self._has_sound = message.on
    else:
      self._server.live.close(self._stream)

  async def _open(self, message: wire.Open) -> None:
    if message.source and self._server.sources is None:
      raise RefusalError("no_source", "this server takes no pictures: it was started without --source.")
    outbox = Outbox(self._server.limits.backlog, asyncio.get_running_loop())
    sources = self._server.sources if message.source else None
    stream = self._server.live.open(message.prompt, self._client, outbox, seed=message.seed, sources=sources)
    await self._attach(stream, message.sound, "opened")

  async def _resume(self, message: wire.Resume) -> None:
    await self._attach(self._server.live.find(message.stream, message.token), message.sound, "resumed")

  async def _attach(self, stream: Stream, has_sound: bool, event: str) -> None:
    """Becomes the reader of a stream."""
    self._reader, self._has_sound, self._stream = stream.receiver.attach(), has_sound, stream
    own = {"stream": stream.id, "token": stream.token, "seed": stream.seed, "prompt": stream.prompt}
    log(f"stream {event}", client=self._client, stream=stream.id)
    await self._tell({"type": event, **own, "clock": time.monotonic(), **self._server.about()})
    if self._server.live.is_draining:
      await self._tell({"type": "draining"})

  async def _picture(self, data: bytes) -> None:
    """Handles a binary message: a picture for video-to-video."""
    if self._stream is None or self._stream.sources is None:
      raise RefusalError("no_source", "open a stream with source before you send pictures.")
    if len(data) > self._server.limits.frame_bytes:
      raise RefusalError(
        "frame_too_large",
        f"the picture has {len(data)} bytes; at most {self._server.limits.frame_bytes} are read.",
      )
    if not self._pictures.take():
      raise RefusalError("too_fast", f"send {self._server.rate:g} pictures per second.", retry_after=1)
    height, width = next(sense.shape for sense in self._server.senses if sense.name == "sight")[:2]
    picture = await asyncio.to_thread(decode_picture, data, height, width)
    self._stream.sources.add(picture)

  async def _send_chunks(self) -> None:
    """Sends chunks until the stream ends or another connection takes it."""
    is_told = False
    while True:
      try:
        taken = await self._stream.receiver.take(self._reader)
      except RefusalError as error:
        await self._end(error)
        return
      if self._server.live.is_draining and not is_told:
        is_told = True
        await self._tell({"type": "draining"})
      if taken.dropped:
        self._server.metrics.dropped.inc(taken.dropped)
        await self._tell({"type": "dropped", "chunks": taken.dropped})
      if taken.chunk is None:
        await self._finish(taken.ended)
        return
      wave = await self._wave(taken.chunk.clip)
      await self._socket.send_bytes(wire.encode(taken.chunk, wave, RATE))

  async def _finish(self, code: str) -> None:
    """Says why the stream has ended, and closes the connection."""
    self._is_over = True
    reason = "draining" if code == "done" else code
    await self._tell({"type": "closed", "reason": reason})
    await self._socket.close(_NORMAL if reason == "closed" else _GOING_AWAY, reason)

  async def _wave(self, clip: dict[str, Any]):
    """The sound of a chunk, if the client wants it and the model has it."""
    if not self._has_sound or "sound" not in clip:
      self._waveform = None
      return None
    if self._waveform is None:
      self._waveform = Waveform(next(sense for sense in self._server.senses if sense.name == "sound"))
    return await asyncio.to_thread(self._waveform, clip["sound"])
