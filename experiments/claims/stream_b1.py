"""The two-thousandth frame of a stream takes no more time than the fiftieth, and memory does not grow.

Test B1 of StreamDiffusionV2 (arXiv 2511.07399), with the packaged causal model in two steps, one stream.
The first 100 ticks of one stream and ticks 1,900 to 2,000 of another alternate; each emits one frame. Value:
the least time of a late tick divided by that of an early one. Bar: 1.1. `grown_mib` is the growth of the
process's resident memory from tick 1,000 to tick 1,900, in MiB; it may be at most 1. The fake,
`growing_cache`, is the same ratio if the cache held the last 400 frames instead of a window; it must exceed
the bar.
"""

STEPS, WINDOW, FRAMES = 2, 100, 2000


def measure(seed: int) -> dict:
  import time

  from experiments.claims._stream import PROMPTS, engine, levels_of, ticker
  from experiments.claims._timing import resident
  from stale_jax.pipeline import load

  model, prompts = load("causal"), PROMPTS[:1]
  stream = engine(model, levels_of(model, STEPS))
  wide = engine(model, levels_of(model, STEPS), window=400)
  late, early, growing = (ticker(model, each, prompts) for each in (stream, stream, wide))
  for _ in range(FRAMES // 2):
    late()
  half = resident()
  for _ in range(FRAMES // 2 - WINDOW):
    late()
  grown = (resident() - half) / 2**20
  growing()
  least = dict.fromkeys(("early", "late", "growing"), float("inf"))
  for number in range(WINDOW):
    for name, tick in {"early": early, "late": late, "growing": growing}.items():
      if name == "growing" and number % 10:
        continue
      began = time.perf_counter()
      tick()
      least[name] = min(least[name], time.perf_counter() - began)
  value, fake = least["late"] / least["early"], least["growing"] / least["early"]
  return {
    "value": value,
    "bar": 1.1,
    "holds": value <= 1.1 < fake and grown <= 1,
    "grown_mib": grown,
    "growing_cache": fake,
    "milliseconds": {name: 1000 * time for name, time in least.items()},
    "frames": FRAMES,
  }
