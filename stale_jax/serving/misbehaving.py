"""Clients that misbehave, each for a few seconds, for load tests."""

import asyncio
import json
import random
import time

from websockets.asyncio.client import connect

_SECONDS = 3.0
_GARBAGE = ("{", "[]", '{"type": 7}', '{"type": "open"}', '{"type": "prompt", "prompt": 3}', "\u0000" * 50)


def _open(access: str) -> str:
  return json.dumps({"type": "open", "prompt": "a red two moves left slowly", "access": access})


async def read_slowly(url: str, rng: random.Random, access: str) -> None:
  """Opens a stream and reads nothing."""
  async with connect(url, max_queue=1, ping_interval=None) as socket:
    await socket.send(_open(access))
    await asyncio.sleep(2 * _SECONDS)
    socket.transport.abort()


async def flood(url: str, rng: random.Random, access: str) -> None:
  """Opens a stream and sends prompts as fast as possible."""
  async with connect(url, ping_interval=None) as socket:
    await socket.send(_open(access))
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
      await socket.send(json.dumps({"type": "prompt", "prompt": str(rng.random())}))
      await asyncio.sleep(0.001)


async def send_garbage(url: str, rng: random.Random, access: str) -> None:
  """Sends what is no message, without a stream."""
  async with connect(url, ping_interval=None) as socket:
    for _ in range(100):
      await socket.send(rng.randbytes(rng.randint(0, 2000)) if rng.random() < 0.5 else rng.choice(_GARBAGE))
      await asyncio.sleep(0.02)


async def disconnect(url: str, rng: random.Random, access: str) -> None:
  """Opens a stream and breaks the connection."""
  async with connect(url, ping_interval=None) as socket:
    await socket.send(_open(access))
    await asyncio.sleep(rng.uniform(0, _SECONDS))
    socket.transport.abort()


async def send_much(url: str, rng: random.Random, access: str) -> None:
  """Sends one message that is far too large."""
  async with connect(url, ping_interval=None) as socket:
    await socket.send("x" * (1 << 20))
    await asyncio.sleep(0.5)


BEHAVIOURS = (read_slowly, flood, send_garbage, disconnect, send_much)
