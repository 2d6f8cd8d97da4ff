"""A load test: clients that watch, change their prompts and measure, and clients that misbehave.

A client that watches plays like a careful player: it begins to show the first chunk one period after it has
arrived, so that one chunk is always waiting. A *miss* is a chunk that arrives after its time; the player then
stalls until it arrives, and goes on from there. Chunks that the server dropped are misses, too.
"""

import asyncio
import contextlib
import dataclasses
import json
import math
import random
import time
import urllib.request
from collections.abc import Sequence
from typing import Any

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from stale_jax.errors import UserError
from stale_jax.serving.misbehaving import BEHAVIOURS
from stale_jax.serving.wire import decode

PROMPTS = tuple(
  f"a {colour} {digit} moves {direction} {speed}"
  for colour in ("red", "cyan", "yellow")
  for digit in ("two", "seven", "five")
  for direction, speed in (("left", "quickly"), ("down", "slowly"))
)
_PAUSE = (4.0, 10.0)  # Seconds between two prompts of a client.
_PATIENCE = 60.0  # Seconds without a chunk after which a stream is lost.
_SAMPLE = 1.0  # Seconds between two looks at the metrics.
# The bars of `report`.
_LEAST_STREAMS, _MOST_MISSES, _MOST_GROWTH = 4, 0.01, 0.01


@dataclasses.dataclass
class Watched:
  """What one client has seen.

  Attributes:
    first: seconds from the request to the first chunk; None if none came.
    intervals: seconds between consecutive arrivals.
    chunks, misses: counts.
    refused: code of the error that refused the stream; None if it was admitted.
    lost: why the stream ended before its time; None if it did not.
  """

  first: float | None = None
  intervals: list[float] = dataclasses.field(default_factory=list)
  chunks: int = 0
  misses: int = 0
  refused: str | None = None
  lost: str | None = None


async def watch(url: str, seconds: float, rng: random.Random, access: str = "") -> Watched:
  """Watches one stream for `seconds`, and changes its prompt now and then."""
  seen, end = Watched(), time.monotonic() + seconds
  try:
    async with connect(url, max_size=None, ping_interval=None) as socket:
      asked = time.monotonic()
      await socket.send(json.dumps({"type": "open", "prompt": rng.choice(PROMPTS), "access": access}))
      opened = json.loads(await asyncio.wait_for(socket.recv(), _PATIENCE))
      if opened["type"] == "error":
        seen.refused = opened["code"]
        return seen
      period = opened["chunk"] / opened["rate"]
      change, last, number, due = asked + rng.uniform(*_PAUSE), 0.0, -1, 0.0
      while (now := time.monotonic()) < end:
        if now >= change:
          await socket.send(json.dumps({"type": "prompt", "prompt": rng.choice(PROMPTS)}))
          change = now + rng.uniform(*_PAUSE)
        message = await asyncio.wait_for(socket.recv(), _PATIENCE)
        now = time.monotonic()
        if isinstance(message, str):
          event = json.loads(message)
          if event["type"] in ("error", "closed"):
            seen.lost = event.get("code") or event["reason"]
            return seen
          continue
        header, _ = decode(message)
        if seen.first is None:
          seen.first, due = now - asked, now + period
        else:
          seen.intervals.append(now - last)
          gap = header["chunk"] - number
          due += gap * period
          seen.misses += gap - 1 + (now > due)
          due = max(due, now)
        seen.chunks, last, number = seen.chunks + 1, now, header["chunk"]
      await socket.send(json.dumps({"type": "close"}))
  except (OSError, TimeoutError, WebSocketException) as error:
    seen.lost = f"{type(error).__name__}: {str(error)[:80]}"
  return seen


def fetch(url: str, access: str = "") -> str:
  """The body of a GET request; raises UserError if there is no answer."""
  request = urllib.request.Request(url, headers={"Authorization": f"Bearer {access}"} if access else {})
  try:
    with urllib.request.urlopen(request, timeout=30) as answer:
      return answer.read().decode()
  except OSError as error:
    raise UserError(f"cannot reach {url}: {error}.") from error


def parse_metrics(text: str) -> dict[str, float]:
  """Name -> value of the metrics without labels."""
  lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
  return {name: float(value) for name, _, value in lines if "{" not in name}


async def _sample(url: str, end: float, access: str) -> list[tuple[float, dict[str, float]]]:
  """The metrics of the server, again and again until `end`."""
  found = []
  while time.monotonic() < end:
    text = await asyncio.to_thread(fetch, f"{url}/metrics", access)
    found.append((time.monotonic(), parse_metrics(text)))
    await asyncio.sleep(_SAMPLE)
  return found


async def put_load(
  url: str, clients: int | None, seconds: float, misbehaving: float, seed: int, access: str = ""
) -> dict[str, Any]:
  """Loads the server at `url` (http://HOST:PORT) and returns the report.

  Args:
    clients: number of clients; None: as many as the server admits.
    seconds: duration.
    misbehaving: share of the clients that misbehave.
    seed: seed of prompts and times.
    access: the access token.

  Raises:
    UserError: the server does not answer.
  """
  health = json.loads(await asyncio.to_thread(fetch, f"{url}/health", access))
  clients = clients or health["capacity"]
  bad = min(math.ceil(clients * misbehaving), clients - 1)
  socket, end = f"ws{url.removeprefix('http')}/live", time.monotonic() + seconds
  good = [
    asyncio.create_task(watch(socket, seconds, random.Random(f"{seed} {i}"), access))
    for i in range(clients - bad)
  ]
  rude = [
    asyncio.create_task(_misbehave(socket, end, random.Random(f"{seed} bad {i}"), access)) for i in range(bad)
  ]
  samples = await _sample(url, end, access)
  seen = await asyncio.gather(*good)
  for task in rude:
    task.cancel()
  await asyncio.gather(*rude, return_exceptions=True)
  return report(seen, samples, health, bad, seconds)


async def _misbehave(url: str, end: float, rng: random.Random, access: str) -> None:
  """One kind of misbehaviour after the other, until `end`."""
  while time.monotonic() < end:
    behave = rng.choice(BEHAVIOURS)
    with contextlib.suppress(OSError, TimeoutError, WebSocketException):
      await behave(url, rng, access)
    await asyncio.sleep(rng.uniform(0.1, 1))


def report(
  seen: Sequence[Watched],
  samples: Sequence[tuple[float, dict[str, float]]],
  health: dict[str, Any],
  bad: int,
  seconds: float,
) -> dict[str, Any]:
  """The numbers of a load test, and whether they are within the bars."""
  admitted = [each for each in seen if each.refused is None]
  firsts = [each.first for each in admitted if each.first is not None]
  intervals = 1000 * np.array([x for each in admitted for x in each.intervals])
  chunks, misses = sum(each.chunks for each in admitted), sum(each.misses for each in admitted)
  lost = [each.lost for each in admitted if each.lost is not None]
  settled = samples[len(samples) // 5 :]
  quarter = max(1, len(settled) // 4)
  memory = [metrics.get("process_resident_memory_bytes", math.nan) / 2**20 for _, metrics in settled]
  before, after = float(np.median(memory[:quarter])), float(np.median(memory[-quarter:]))
  (begin, first), (finish, last) = settled[0], settled[-1]
  cpu = (last.get("process_cpu_seconds_total", 0) - first.get("process_cpu_seconds_total", 0)) / max(
    finish - begin, 1e-9
  )
  streams = int(max(metrics["stale_streams"] for _, metrics in settled))
  share = misses / max(chunks + misses, 1)
  bars = {
    "streams": streams >= _LEAST_STREAMS and abs(streams - health["capacity"]) <= 1,
    "misses": share <= _MOST_MISSES,
    "memory": after <= before * (1 + _MOST_GROWTH),
    "none lost": not lost and len(firsts) == len(admitted) == len(seen),
  }
  return {
    "model": health["model"],
    "seconds": seconds,
    "clients": len(seen) + bad,
    "misbehaving": bad,
    "capacity": health["capacity"],
    "streams": streams,
    "refused": len(seen) - len(admitted),
    "lost": lost,
    "first_frame_seconds": _percentiles(firsts, (50, 95), 3),
    "interval_ms": _percentiles(intervals, (50, 95, 99), 1),
    "jitter_ms": round(float(np.std(intervals)), 2) if len(intervals) else None,
    "chunks": chunks,
    "misses": misses,
    "miss_share": round(share, 5),
    "server_misses": int(last["stale_misses_total"] - first["stale_misses_total"]),
    "dropped_chunks": int(last["stale_dropped_chunks_total"]),
    "memory_mib": [round(before, 1), round(after, 1)],
    "memory_growth": round(after / before - 1, 5),
    "cpu_cores": round(cpu, 2),
    "bars": bars,
    "holds": all(bars.values()),
  }


def _percentiles(values: Sequence[float], which: Sequence[int], digits: int) -> dict[str, float | None]:
  return {f"p{p}": round(float(np.percentile(values, p)), digits) if len(values) else None for p in which}
