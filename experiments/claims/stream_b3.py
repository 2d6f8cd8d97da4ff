"""Reading the ring cache is recomputing the whole window.

Test B3 of StreamDiffusionV2 (arXiv 2511.07399), with random models: video-to-video streams at one level. The
estimates of a stream are compared with those of one call of the network, without a cache, on all noised
frames of the window: with three blocks while no frame has been evicted (then all keys depend on the window
alone), and with one block for 40 frames, of which a window holds 4. Value: the greatest difference. Bar:
1e-5. The fake, `slot_off`, moves all slots of the cache by one before it is read, as a ring that is read
without unrolling; it must exceed the bar.
"""

WINDOW, FRAMES, LEVEL = 4, 40, 0.7


def measure(seed: int) -> dict:
  deep, _ = _differences(seed, depth=3, frames=WINDOW)
  long, fake = _differences(seed, depth=1, frames=FRAMES)
  value = max(deep, long)
  return {
    "value": value,
    "bar": 1e-5,
    "holds": value <= 1e-5 < fake,
    "three_blocks": deep,
    "one_block": long,
    "slot_off": fake,
  }


def _differences(seed: int, depth: int, frames: int) -> tuple[float, float]:
  """The greatest differences between a stream and calls on whole windows: (of the stream, of the fake)."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from experiments.claims._stream import PROMPTS, encoded, engine, keys_of, run
  from experiments.claims._student import student
  from stale_jax.processes import corrupt, fold_keys

  model = student(seed, depth)
  senses, process = model.system.data.senses, model.system.diffusion.process
  stream, context = engine(model, (LEVEL,), window=WINDOW), encoded(model, PROMPTS[:1])
  rng, apply = np.random.default_rng(seed), model.system.network.clone(scan=False).apply
  every = {s.name: rng.uniform(-1, 1, (1, frames, *s.shape)).astype(np.float32) for s in senses}
  sources = [{n: jnp.asarray(x[:, [i]]) for n, x in every.items()} for i in range(frames)]
  alone = context.replace(independent_senses=jnp.array([False]))

  @jax.jit
  def noised(number, source):
    own = fold_keys(fold_keys(keys_of([seed]), number), 0)
    return {n: c.x_t for n, c in corrupt(process, source, jnp.full((1, 1), LEVEL), own).items()}

  @jax.jit
  def estimates(params, window):
    t = jnp.full((1, WINDOW), LEVEL)
    return {n: process.denoised(x, window[n], t) for n, x in apply(params, window, t, alone).items()}

  given = [jax.device_get(noised(number, source)) for number, source in enumerate(sources)]
  expected = {}
  for number in range(WINDOW - 1, frames):
    parts = given[number - WINDOW + 1 : number + 1]
    window = {name: np.concatenate([part[name] for part in parts], 1) for name in every}
    made = jax.device_get(estimates(model.params, window))
    # Frames before the last have their own windows, which begin earlier, except in the first window.
    for place in range(WINDOW) if number == WINDOW - 1 else (WINDOW - 1,):
      expected[number - WINDOW + 1 + place] = {name: x[0, [place]] for name, x in made.items()}

  @jax.jit
  def moved(state):
    keys, values = jax.tree.map(lambda x: jnp.roll(x, 1, 1), (state.cache.keys, state.cache.values))
    return state.replace(cache=state.cache.replace(keys=keys, values=values))

  def difference(each_tick) -> float:
    options = {"sources": sources, "each_tick": each_tick}
    made = run(model, stream, [(True,)] * frames, context, [seed], **options)[0][0]
    pairs = [(made[number][name], expected[number][name]) for number in made for name in every]
    return max(float(np.abs(a - b).max()) for a, b in pairs)

  return difference(None), difference(lambda number, state: moved(state))
