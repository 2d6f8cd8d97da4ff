"""A stream batch of four levels makes frames 1.25 times as fast as one evaluation after another.

Test A4 of StreamDiffusion (arXiv 2312.12491), with the packaged causal model. The stream batch evaluates four
rows in each tick. The baseline evaluates one row at a time, four times per frame: a chain of stream batches
of one level, each with its own cache, as in the stream batch. Frames alternate, and medians count. Value: the
time of a frame of the baseline divided by that of the stream batch. Bar: 1.25. Each tick after the first
three must emit exactly one frame, in order. The fake, `one_in_flight`, runs the stream batch with one frame
in flight, so that a frame takes four ticks; it must be below 1.25.
"""

STEPS, ROUNDS = 4, 60


def measure(seed: int) -> dict:
  import jax
  import jax.numpy as jnp

  from experiments.claims._stream import PROMPTS, encoded, engine, entering, keys_of, levels_of, ticker
  from experiments.claims._timing import alternate
  from stale_jax.pipeline import load
  from stale_jax.sampling.stream.batch import ticking

  model, prompts = load("causal"), PROMPTS[:1]
  levels, context = levels_of(model, STEPS), encoded(model, prompts)
  tick, numbers = ticker(model, engine(model, levels), prompts), []
  chain = [engine(model, (level,)) for level in levels]
  states = [stream.start(model.params, context, keys_of([seed])) for stream in chain]
  first, one = entering(context), jnp.float32(1)

  def in_turn():
    source = None
    for number, stream in enumerate(chain):
      new = first if source is None else first.replace(source=source)
      states[number], emitted = ticking()(stream, model.params, states[number], new, one)
      source = emitted.clip
    return jax.block_until_ready(source)

  def together():
    numbers.append(int(tick().number[0]))

  seconds = alternate({"in_turn": in_turn, "together": together}, ROUNDS)
  value = seconds["in_turn"] / seconds["together"]
  in_order = numbers == [-1] * (STEPS - 1) + list(range(len(numbers) - STEPS + 1))
  fake = value / STEPS
  return {
    "value": value,
    "bar": 1.25,
    "holds": value >= 1.25 and in_order and fake < 1.25,
    "one_frame_per_tick": in_order,
    "one_in_flight": fake,
    "milliseconds": {name: 1000 * time for name, time in seconds.items()},
  }
