"""A movie's four-thousandth frame takes no more time than the fiftieth, nor more memory than frame 2,000.

The packaged causal model makes two movies, with four steps per chunk, and discards their frames. When timing
starts, nearly 4,000 frames of the first movie are made, and 48 of the second. Their chunks are timed in
alternation. Value: the median time of a chunk of the first movie divided by that of the second. Bar: 1.1.
`grown_mib` is the growth of the process's resident memory, in MiB, in the second half of the long movie, when
JAX's own caches are full. Bar: 1.
"""

FRAMES, FROM, CHUNKS, STEPS = 4096, 48, 30, 4


def measure(seed: int) -> dict:
  from experiments.claims._timing import alternate, resident
  from stale_jax.pipeline import load

  model = load("causal")
  prompt = model.source[seed]["caption"]

  def movie():
    return model.rollout([prompt], [seed], frames=FRAMES, steps=STEPS)

  def advance(chunks, frames: int) -> None:
    while frames > 0:
      frames -= next(chunks)["sight"].shape[1]

  long, short, timed = movie(), movie(), CHUNKS * model.system.diffusion.rollout.chunk
  advance(long, FRAMES // 2)
  half = resident()
  advance(long, FRAMES // 2 - timed)
  grown = (resident() - half) / 2**20
  advance(short, FROM)
  medians = alternate({"late": lambda: next(long), "early": lambda: next(short)}, CHUNKS, warm=0)
  value = medians["late"] / medians["early"]
  return {
    "value": value,
    "bar": 1.1,
    "holds": value <= 1.1 and grown <= 1,
    "grown_mib": grown,
    "milliseconds": {name: 1000 * seconds for name, seconds in medians.items()},
    "frames": FRAMES,
  }
