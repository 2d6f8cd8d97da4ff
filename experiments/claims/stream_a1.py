"""A pipelined movie of a stream batch has the bits of the same movie made chunk by chunk.

Test A1 of StreamDiffusion (arXiv 2312.12491), with a small random model of four levels, residual guidance and
one sink. 64 chunks are made with four in flight, and again by the same compiled program with one in flight,
beside another stream that comes and goes. Value: the number of values that differ. Bar: 0. `plain_calls` is
the greatest difference to single calls of the network with one row each, other programs, which must be at
most 1e-5. The fake, `noise_by_tick`, draws noise by the tick instead of by chunk and level; it must differ.
"""

CHUNKS, LEVELS, GUIDANCE = 64, (1.0, 0.95, 0.85, 0.6), 2.0


def measure(seed: int) -> dict:
  import jax
  import numpy as np

  from experiments.claims._stream import PROMPTS, encoded, engine, greatest, run
  from experiments.claims._student import student

  model, depth = student(seed), len(LEVELS)
  stream, context = engine(model, LEVELS, negative="once", sinks=1), encoded(model, PROMPTS)
  rng = np.random.default_rng(seed)
  together = [(True, True)] * (CHUNKS + depth - 1)
  alone = [(tick % depth == 0, rng.random() < 0.5) for tick in range(CHUNKS * depth)]
  seeds = seed + 3, seed + 4

  def by_tick(number, state):
    return state.replace(keys=jax.vmap(lambda key: jax.random.fold_in(key, number))(state.keys))

  def differ(**options):
    options["guidance"] = GUIDANCE
    pipelined = run(model, stream, together, context, seeds, **options)[0][0]
    one = run(model, stream, alone, context, (seeds[0], seed + 9), **options)[0][0]
    pairs = [(pipelined[n][name], one[n][name]) for n in range(CHUNKS) for name in one[n]]
    return sum(int((a != b).sum()) for a, b in pairs), pipelined

  value, pipelined = differ()
  fake = differ(each_tick=by_tick)[0]
  plain = greatest(_plain_calls(model, seeds[0]), pipelined)
  return {
    "value": value,
    "bar": 0,
    "holds": value == 0 < fake and plain <= 1e-5,
    "plain_calls": plain,
    "noise_by_tick": fake,
    "chunks": CHUNKS,
  }


def _plain_calls(model, seed: int) -> dict:
  """The first chunks of the first stream, by one call of the network for each level."""
  import jax
  import jax.numpy as jnp

  from experiments.claims._stream import PROMPTS, encoded, keys_of
  from stale_jax.models.kv_cache import empty_cache, push
  from stale_jax.processes import corrupt, fold_keys
  from stale_jax.processes.interpolant import anchored

  system, context, key = model.system, encoded(model, PROMPTS[:1]), keys_of([seed])
  network, process = system.network.clone(scan=False), system.diffusion.process
  patch = {sense.name: sense.patch[0] for sense in system.data.senses}
  without = context.drop_condition(jnp.array([True]))
  context = context.replace(independent_senses=jnp.array([False]))
  apply = jax.jit(lambda *given: network.apply(*given, mutable=["kv"]))
  caches, made = {}, {}

  def call(x, t, at):
    given = without if at == "without" else context
    out, sown = apply(model.params, x, t, given, caches.get(at))
    new = tuple({b: kinds[kind][0] for b, kinds in sown["kv"].items()} for kind in ("keys", "values"))
    if at not in caches:
      caches[at] = empty_cache(new, patch, model.frames - 1)
      return call(x, t, at)
    caches[at] = push(caches[at], new, patch, 1)
    return out

  for number in range(12):
    clean = {sense.name: jnp.zeros((1, 1, *sense.shape)) for sense in system.data.senses}
    for level, time in enumerate(LEVELS):
      t, own = jnp.full((1, 1), time), fold_keys(fold_keys(key, number), level)
      x = {name: c.x_t for name, c in corrupt(process, clean, t, own).items()}
      out = call(x, t, level)
      if level == 0:
        anchor = {name: process.denoised(o, x[name], t) for name, o in call(x, t, "without").items()}
      guided = {name: anchored(o, anchor[name], GUIDANCE) for name, o in out.items()}
      clean = {name: process.denoised(o, x[name], t) for name, o in guided.items()}
    made[number] = {name: x[0] for name, x in jax.device_get(clean).items()}
  return made
