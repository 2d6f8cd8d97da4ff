"""A movie's four-thousandth frame costs what the fiftieth did, and no more memory than the two-thousandth.

The causal model that comes with the package, one movie, four steps a chunk, whose frames nobody keeps. Value
is the time of a chunk among the last 100 frames over that among the 100 after the fiftieth, each the least
there is; bar 1.1. `grown_mib` is by how much the resident memory of the process grew in the second half of
the movie, when JAX's own caches are full; bar 1.
"""

FRAMES, FROM, WINDOW, STEPS = 4096, 48, 100, 4


def measure(seed: int) -> dict:
  import time

  from stale_jax.pretrained import load

  model = load("causal")
  # Chunk by chunk: when it was there, and what the process held then.
  ends, held, frames = [time.perf_counter()], [_resident()], [0]
  prompt = model.source[seed]["caption"]
  for chunk in model.rollout([prompt], [seed], frames=FRAMES, steps=STEPS):
    ends.append(time.perf_counter())
    held.append(_resident())
    frames.append(frames[-1] + chunk["sight"].shape[1])
  at = {frame: i for i, frame in enumerate(frames)}
  windows = [(at[FROM], at[FROM + WINDOW]), (at[FRAMES - WINDOW], at[FRAMES])]
  early, late = (min(b - a for a, b in zip(ends[i:j], ends[i + 1 : j + 1], strict=True)) for i, j in windows)
  grown = (held[-1] - held[at[FRAMES // 2]]) / 2**20
  return {
    "value": late / early,
    "bar": 1.1,
    "holds": late <= 1.1 * early and grown <= 1,
    "grown_mib": grown,
    "milliseconds": [1000 * early, 1000 * late],
    "frames": FRAMES,
  }


def _resident() -> int:
  """Bytes of memory that the process has."""
  import os
  from pathlib import Path

  return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
