"""A server of a tiny model in this process, on a free port, and what its tests share."""

import contextlib
import json
import socket
import threading
import time

import uvicorn
from websockets.sync.client import connect

from stale_jax.serving.app import build_app
from stale_jax.serving.launch import bound
from stale_jax.serving.wire import decode

PROMPTS = ("a red seven moves left quickly", "a cyan two moves down slowly")


@contextlib.contextmanager
def running(server):
  """Serves until the end of the block; yields the address, without a scheme."""
  listening = bound("127.0.0.1", 0)
  config = uvicorn.Config(
    build_app(server), log_config=None, ws_max_size=1 << 22, timeout_graceful_shutdown=2
  )
  web = uvicorn.Server(config)
  thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]}, daemon=True)
  thread.start()
  while not web.started:
    time.sleep(0.01)
  yield f"127.0.0.1:{listening.getsockname()[1]}"
  web.should_exit = True
  thread.join(30)


class Client:
  """A client of one stream, which remembers what it was told and shown."""

  def __init__(self, address, **options):
    self._context = connect(f"ws://{address}/live", max_size=None, max_queue=None, **options)
    self._socket = self._context.__enter__()
    self.events, self.chunks = [], []

  def send(self, kind, **fields):
    self._socket.send(json.dumps({"type": kind, **fields}))

  def send_raw(self, message):
    self._socket.send(message)

  def next(self, timeout=20):
    """Receives one message; returns the event, or the header of the chunk."""
    message = self._socket.recv(timeout)
    if isinstance(message, str):
      self.events.append(json.loads(message))
      return self.events[-1]
    header, pieces = decode(message)
    self.chunks.append((header, pieces))
    return header

  def until(self, kind):
    """Receives until an event of this type; returns it."""
    while (message := self.next()).get("type") != kind:
      pass
    return message

  def watch(self, count):
    """Receives `count` more chunks."""
    end = len(self.chunks) + count
    while len(self.chunks) < end:
      self.next()
    return [header for header, _ in self.chunks[-count:]]

  def drop(self):
    """Loses the connection, without a word."""
    self._socket.socket.close()

  def close(self):
    self._socket.close()


class Proxy:
  """A network between a browser and a server, whose connections can be cut.

  Attributes:
    address: where it listens.
  """

  def __init__(self, target):
    host, port = target.split(":")
    self._target, self._pairs, self._is_up = (host, int(port)), [], True
    self._listening = socket.create_server(("127.0.0.1", 0))
    self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
    threading.Thread(target=self._accept, daemon=True).start()

  def cut(self):
    """Breaks all connections, and refuses new ones until `mend`."""
    self._is_up = False
    for one in self._pairs:
      with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    self._pairs.clear()

  def mend(self):
    self._is_up = True

  def close(self):
    self.cut()
    self._listening.close()

  def _accept(self):
    with contextlib.suppress(OSError):
      while True:
        near, _ = self._listening.accept()
        if not self._is_up:
          near.close()
          continue
        far = socket.create_connection(self._target)
        self._pairs += [near, far]
        for pair in ((near, far), (far, near)):
          threading.Thread(target=self._pump, args=pair, daemon=True).start()

  def _pump(self, source, sink):
    with contextlib.suppress(OSError):
      while data := source.recv(1 << 16):
        sink.sendall(data)
    for one in (source, sink):
      with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
