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
  deep = _difference(seed, depth=3, frames=WINDOW)
  long = _difference(seed, depth=1, frames=FRAMES)
  fake = _difference(seed, depth=1, frames=FRAMES, off=1)
  value = max(deep, long)
  return {
    "value": value,
    "bar": 1e-5,
    "holds": value <= 1e-5 < fake,
    "three_blocks": deep,
    "one_block": long,
    "slot_off": fake,
  }


def _difference(seed: int, depth: int, frames: int, off: int = 0) -> float:
  """The greatest difference between a stream and calls on whole windows."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from experiments.claims._stream import PROMPTS, encoded, engine, keys_of, run
  from experiments.claims._student import student
  from stale_jax.processes import corrupt, fold_keys

  model = student(seed, depth)
  senses, process = model.system.data.senses, model.system.diffusion.process
  stream, context = engine(model, (LEVEL,), window=WINDOW), encoded(model, PROMPTS[:1])
  rng = np.random.default_rng(seed)
  sources = [
    {s.name: jnp.asarray(rng.uniform(-1, 1, (1, 1, *s.shape)), jnp.float32) for s in senses}
    for _ in range(frames)
  ]

  def moved(_, state):
    cache = state.cache
    keys, values = jax.tree.map(lambda x: jnp.roll(x, off, 1), (cache.keys, cache.values))
    return state.replace(cache=cache.replace(keys=keys, values=values))

  given = {"sources": sources, "each_tick": moved if off else None}
  made = run(model, stream, [(True,)] * frames, context, [seed], **given)[0][0]
  apply, t = jax.jit(model.system.network.clone(scan=False).apply), jnp.full((1, 1), LEVEL)
  noised, worst = [], 0.0
  context = context.replace(independent_senses=jnp.array([False]))
  for number, source in enumerate(sources):
    own = fold_keys(fold_keys(keys_of([seed]), number), 0)
    noised.append({name: c.x_t for name, c in corrupt(process, source, t, own).items()})
    window = noised[-WINDOW:]
    clip = {name: jnp.concatenate([frame[name] for frame in window], 1) for name in source}
    out = apply(model.params, clip, jnp.full((1, len(window)), LEVEL), context)
    for name, x in out.items():
      want = process.denoised(x[:, -1:], noised[-1][name], t)[0]
      worst = max(worst, float(np.abs(np.asarray(want) - made[number][name]).max()))
  return worst
