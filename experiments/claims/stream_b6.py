"""Streams that are admitted keep their deadlines, and no tick takes frames that are not buffered.

Test B6 of StreamDiffusionV2 (arXiv 2511.07399), simulated: 50 machines with random cost tables, each with 40
streams that ask for admission, with random periods, chunks, levels and phases; the durations of ticks vary by
10%. A stream of n levels and period P demands each chunk within (n + 1) P of its arrival. Value: the greatest
share of chunks, on any machine, that miss it. Bar: .01. The frames that a tick takes must never exceed those
buffered. Fakes: without admission, `all_admitted`, the median share must exceed the bar; and a scheduler that
always takes a chunk of every stream must overdraw, `eager` times.
"""

MACHINES, STREAMS, SECONDS = 50, 40, 60.0


def measure(seed: int) -> dict:
  import numpy as np

  from stale_jax.sampling.stream.schedule import CostTable, simulate

  rng = np.random.default_rng(seed)
  shares, unbounded, refused, overdrawn, eager = [], [], 0, 0, 0
  for machine in range(MACHINES):
    base, per_stream = rng.uniform(0.002, 0.02), rng.uniform(0.002, 0.02)
    table = CostTable({size: base + per_stream * size for size in (1, 2, 4, 8, 16, 32)})
    periods = (table.seconds[16] * rng.uniform(1, 4, STREAMS)).tolist()
    how = {"chunk": int(rng.integers(1, 5)), "levels": int(rng.integers(1, 5)), "seed": seed + machine}
    done = simulate(table, periods, seconds=SECONDS, **how)
    shares.append(done.missed / done.chunks)
    refused += done.refused
    overdrawn += done.overdrawn
    every = simulate(table, periods[:32], seconds=SECONDS / 4, admission=False, **how)
    unbounded.append(every.missed / every.chunks)
    eager += simulate(table, periods, seconds=1.0, choose=_every, **how).overdrawn
  value, fake = max(shares), float(np.median(unbounded))
  return {
    "value": value,
    "bar": 0.01,
    "holds": value <= 0.01 < fake and overdrawn == 0 < eager and refused > 0,
    "refused": refused,
    "asked": MACHINES * STREAMS,
    "overdrawn": overdrawn,
    "all_admitted": fake,
    "eager": eager,
  }


def _every(buffered, chunk: int) -> list[bool]:
  return [True] * len(buffered)
