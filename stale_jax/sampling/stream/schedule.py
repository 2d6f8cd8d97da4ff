"""How many streams a machine can serve: a cost table, admission, and which streams take a chunk in a tick.

As in the SLO-aware batching of StreamDiffusionV2 (arXiv 2511.07399, sec. 3.1), costs are measured on the
machine at start-up, and everything is decided from this table. All streams of a batch share each tick, so its
cost depends on the number of streams alone. A stream demands one chunk per period.

Suppose that no tick takes longer than the shortest period P, and that a tick begins as soon as some stream
has a chunk. Then a chunk waits for at most one tick, and each of its n ticks begins at most P after the one
before. So it leaves within (n + 1) P of its arrival: `latency`.
"""

import bisect
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stale_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class CostTable:
  """What a tick costs.

  Attributes:
    seconds: number of streams (the batch sizes that are compiled, ascending) -> seconds per tick (the 95th
      percentile).
  """

  seconds: Mapping[int, float]

  def __post_init__(self):
    sizes = list(self.seconds)
    if not sizes or sizes != sorted(sizes) or sizes[0] < 1:
      raise UserError(f"a cost table needs ascending batch sizes of at least 1, not {sizes}.")

  def capacity(self, period: float, share: float = 0.9) -> int:
    """The largest batch size up to which a tick takes at most `share * period` seconds; 0 if none does.

    Args:
      period: seconds between two chunks of a stream.
      share: the share of the period that a tick may take; the rest absorbs ticks slower than the table's.
    """
    found = 0
    for size, seconds in self.seconds.items():
      if seconds > share * period:
        break
      found = size
    return found

  def batch(self, streams: int) -> int:
    """The smallest compiled batch size that holds `streams` streams; raises UserError if none does."""
    sizes = list(self.seconds)
    if streams > sizes[-1]:
      raise UserError(f"{streams} streams do not fit into the largest compiled batch ({sizes[-1]}).")
    return sizes[bisect.bisect_left(sizes, streams)]

  def admits(self, periods: Sequence[float], share: float = 0.9) -> bool:
    """Whether streams with these periods keep their rates together in one batch.

    Admission control asks this for the streams already admitted and the new one. Since all share each tick,
    the shortest period decides.
    """
    return not periods or len(periods) <= self.capacity(min(periods), share)


def measure(
  make_tick: Callable[[int], Callable[[], None]], sizes: Sequence[int], repeats: int = 10
) -> CostTable:
  """Measures a cost table.

  Args:
    make_tick: for a batch size, returns a function that runs one tick to its end on the device.
    sizes: batch sizes.
    repeats: number of timed ticks of each size; two more before them compile and warm up.

  Returns:
    The table. A batch never costs less in it than a smaller one, so that noise of the measurement does not
    admit streams.
  """
  seconds, most = {}, 0.0
  for size in sorted(set(sizes)):
    tick, each = make_tick(size), []
    for number in range(2 + repeats):
      began = time.perf_counter()
      tick()
      if number >= 2:
        each.append(time.perf_counter() - began)
    most = max(most, float(np.percentile(each, 95)))
    seconds[size] = most
  return CostTable(seconds)


def latency(period: float, levels: int) -> float:
  """The time from the arrival of a chunk within which it leaves, if no tick takes longer than `period`."""
  return (levels + 1) * period


def ready(buffered: Sequence[int], chunk: int) -> list[bool]:
  """Whether each stream takes a chunk in the next tick: it does if all frames of the chunk are buffered.

  So the number of these streams times `chunk` never exceeds the number of frames buffered.

  Args:
    buffered: number of frames that each stream has buffered.
    chunk: number of frames of a chunk.
  """
  return [frames >= chunk for frames in buffered]


@dataclasses.dataclass(frozen=True)
class Simulated:
  """What a simulation of streams has counted.

  Attributes:
    chunks: chunks that left.
    missed: those of them that left later than `latency` after their arrival.
    overdrawn: ticks that took more frames than were buffered.
    refused: streams that were not admitted.
  """

  chunks: int
  missed: int
  overdrawn: int
  refused: int


def simulate(
  table: CostTable,
  periods: Sequence[float],
  *,
  seconds: float,
  chunk: int = 1,
  levels: int = 4,
  share: float = 0.9,
  spread: float = 0.1,
  seed: int = 0,
  admission: bool = True,
  choose: Callable[[Sequence[int], int], list[bool]] = ready,
) -> Simulated:
  """Simulates streams whose frames arrive at constant rates with random phases.

  Args:
    table: the costs. Durations of ticks are log-normal, with the table's value as their 95th percentile.
    periods: seconds between two chunks of each stream; the streams ask for admission in this order.
    seconds: simulated time.
    chunk: frames per chunk.
    levels: ticks that a chunk takes.
    share: see `CostTable.capacity`.
    spread: standard deviation of the logarithm of a tick's duration.
    seed: of phases and durations.
    admission: whether streams that would break the SLO are refused.
    choose: the rule of which streams take a chunk; see `ready`.
  """
  rng, admitted = np.random.default_rng(seed), []
  for period in periods:
    if not admission or table.admits([*admitted, period], share):
      admitted.append(period)
  refused = len(periods) - len(admitted)
  if not admitted:
    return Simulated(0, 0, 0, refused)
  each = np.array(admitted)
  phase, median = rng.uniform(0, each), table.seconds[table.batch(len(each))] * math.exp(-1.645 * spread)
  taken, flying, now = np.zeros(len(each), int), [], 0.0
  chunks = missed = overdrawn = 0
  while now < seconds:
    # Frame j of a stream arrives at phase + j * period / chunk.
    arrived = np.maximum(np.floor((now - phase) * chunk / each + 1e-9).astype(int) + 1, 0)
    buffered = arrived - taken * chunk
    which = np.array(choose(buffered.tolist(), chunk))
    if not which.any():
      now = float((phase + ((taken + 1) * chunk - 1) * each / chunk).min())
      continue
    overdrawn += int(which.sum() * chunk > buffered.sum() or (which & (buffered < chunk)).any())
    arrivals = phase + ((taken + 1) * chunk - 1) * each / chunk
    flying.append([(i, float(arrivals[i])) for i in np.flatnonzero(which)])
    taken += which
    now += float(median * np.exp(spread * rng.standard_normal()))
    if len(flying) == levels:
      for i, arrival in flying.pop(0):
        chunks += 1
        missed += now > arrival + latency(float(each[i]), levels)
  return Simulated(chunks, missed, overdrawn, refused)
