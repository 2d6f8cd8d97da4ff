"""A stream makes frames about as fast as offline generation with the same steps and rows per call.

The packaged causal model makes one movie with `how="stream"` in four steps: each call of the network
evaluates four rows. Offline, `how="causal"` makes four movies at a time in four steps, also with four rows
per call, and one more call per frame for the cache. Chunks alternate, and medians count. Value: the frames
per second of the stream divided by those of offline generation, over all movies. Bar: .9. The fake,
`one_in_flight`, is a stream with one frame in flight, which makes a frame in four ticks; it must be below the
bar.
"""

STEPS, ROUNDS = 4, 60


def measure(seed: int) -> dict:
  from experiments.claims._timing import alternate
  from stale_jax.pipeline import load

  model = load("causal")
  prompts = [model.source[seed + i]["caption"] for i in range(STEPS)]
  how = {"frames": 10 * ROUNDS, "steps": STEPS, "solver": "consistency", "guidance": 1.0, "chunk": 1}
  stream = model.rollout(prompts[:1], [seed], how="stream", on_change="keep", **how)
  offline = model.rollout(prompts, range(seed, seed + STEPS), how="causal", **how)
  seconds = alternate({"stream": lambda: next(stream), "offline": lambda: next(offline)}, ROUNDS, warm=12)
  value = seconds["offline"] / STEPS / seconds["stream"]
  fake = value / STEPS
  return {
    "value": value,
    "bar": 0.9,
    "holds": value >= 0.9 > fake,
    "one_in_flight": fake,
    "frames_per_second": {"stream": 1 / seconds["stream"], "offline": STEPS / seconds["offline"]},
    "steps": STEPS,
  }
