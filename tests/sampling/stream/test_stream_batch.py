"""The stream batch against the same movie made chunk by chunk, and against plain calls of the network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.models.kv_cache import empty_cache, push
from stale_jax.processes import corrupt, fold_keys
from stale_jax.processes.interpolant import anchored
from stale_jax.sampling.stream.batch import ticking
from stale_jax.testing.models import drawn
from tests import micro
from tests.streams import LEVELS, PROMPTS, encoded, entering, keys, programs, stream_model


@pytest.fixture(scope="module")
def model():
  return stream_model()


def run(model, stream, schedule, context, seeds, scale=2.0, sources=None):
  """Ticks through `schedule`, which says for each tick which streams take a chunk.

  Returns stream -> {chunk number: sense -> [chunk, *shape]}.
  """
  state, made = stream.start(model.params, context, keys(*seeds)), [{} for _ in seeds]
  for number, which in enumerate(schedule):
    more = {} if sources is None else {"source": sources[number]}
    new = entering(context, which, **more)
    state, emitted = ticking()(stream, model.params, state, new, jnp.float32(scale))
    for row, at in enumerate(np.asarray(emitted.number)):
      if at >= 0:
        made[row][int(at)] = {name: np.asarray(x[row]) for name, x in emitted.clip.items()}
  return made


@pytest.mark.system
@pytest.mark.parametrize("negative", [None, "once", "always"])
def test_a_pipelined_movie_has_the_bits_of_one_made_chunk_by_chunk(model, negative):
  """The same compiled tick, with one chunk in flight at a time, and another stream that comes and goes."""
  chunks, depth = 64, len(LEVELS)
  stream, context = programs(model, negative=negative, sinks=1), encoded(model, PROMPTS)
  rng = np.random.default_rng(0)
  pipelined = run(model, stream, [(True, True)] * (chunks + depth - 1), context, (3, 4))[0]
  alone = [(tick % depth == 0, rng.random() < 0.5) for tick in range(chunks * depth)]
  sequential = run(model, stream, alone, context, (3, 5))[0]
  for number in range(chunks):
    for name in pipelined[number]:
      np.testing.assert_array_equal(pipelined[number][name], sequential[number][name])
  assert np.abs(pipelined[5]["sight"] - pipelined[6]["sight"]).max() > 1e-3


def by_hand(model, prompt, seed, chunks, scale, kind, chunk=1, window=4):
  """The same movie with one call of the network for each chunk, level and half."""
  system, params = model.system, model.params
  network, process = system.network.clone(scan=False), system.diffusion.process
  patch = {sense.name: sense.patch[0] for sense in system.data.senses}
  context, key = encoded(model, [prompt]), keys(seed)
  caches = {(level, half): None for level in range(len(LEVELS)) for half in (0, 1)}
  apply = jax.jit(lambda *a: network.apply(*a, mutable=["kv"]))
  made = []

  def call(x, t, level, half):
    of = context.drop_condition(jnp.array([True])) if half else context
    of = of.replace(independent_senses=jnp.array([bool(half)]))
    cache = caches[level, half]
    out, sown = apply(params, x, t, of, cache)
    new = tuple({b: kinds[kind][0] for b, kinds in sown["kv"].items()} for kind in ("keys", "values"))
    if cache is None:  # An empty cache, so that the first call is like the others.
      caches[level, half] = empty_cache(new, patch, window - chunk)
      return call(x, t, level, half)
    caches[level, half] = push(cache, new, patch)
    return out

  for number in range(chunks):
    clean = {s.name: jnp.zeros((1, chunk, *s.shape)) for s in system.data.senses}
    anchor = None
    for level, time in enumerate(LEVELS):
      t = jnp.full((1, chunk), time)
      own = fold_keys(fold_keys(key, number), level)
      x = {name: c.x_t for name, c in corrupt(process, clean, t, own).items()}
      out = call(x, t, level, 0)
      if kind == "always":
        out = {
          n: anchored(o, call_u, scale)
          for (n, o), call_u in zip(out.items(), call(x, t, level, 1).values(), strict=True)
        }
      if kind == "once":
        if level == 0:
          anchor = {n: process.denoised(o, x[n], t) for n, o in call(x, t, 0, 1).items()}
        out = {n: anchored(o, anchor[n], scale) for n, o in out.items()}
      clean = {n: process.denoised(o, x[n], t) for n, o in out.items()}
    made.append(clean)
  return made


@pytest.mark.system
@pytest.mark.parametrize("negative", [None, "once", "always"])
def test_each_chunk_is_what_plain_calls_of_the_network_give(model, negative):
  stream, chunks = programs(model, negative=negative), 6
  context = encoded(model, PROMPTS)
  made = run(model, stream, [(True, True)] * (chunks + len(LEVELS) - 1), context, (3, 4))
  for row, (prompt, seed) in enumerate(zip(PROMPTS, (3, 4), strict=True)):
    expected = by_hand(model, prompt, seed, chunks, 2.0, negative)
    for number in range(chunks):
      for name, x in expected[number].items():
        np.testing.assert_allclose(made[row][number][name], x[0], atol=1e-5)


@pytest.mark.parametrize(("negative", "rows"), [(None, 3), ("never", 3), ("once", 4), ("always", 6)])
def test_guidance_takes_as_many_rows_as_it_says(model, negative, rows):
  stream, seen = programs(model, negative=negative), []

  @dataclasses.dataclass(frozen=True)
  class Counting:
    model: object

    def apply(self, params, clip, t, *rest, **more):
      seen.append(len(t))
      return self.model.apply(params, clip, t, *rest, **more)

  counting = dataclasses.replace(stream, model=Counting(stream.model))
  context = encoded(model, PROMPTS[:1])
  state = stream.start(model.params, context, keys(0))
  new = entering(context, [True])
  jax.eval_shape(lambda p, s: counting.tick(p, s, new, jnp.float32(2)), model.params, state)
  assert seen == [rows]


def test_a_new_prompt_begins_anew_and_leaves_other_streams_alone(model):
  """After a cut a chunk is what the first chunk of a stream would be, with the noise of its own number."""
  stream, context, after = programs(model), encoded(model, PROMPTS), encoded(model, PROMPTS[::-1])
  depth, cut = len(LEVELS), 4
  tick = ticking()

  def movie(cuts):
    state, made = stream.start(model.params, context, keys(3, 4)), {}
    for number in range(cut + 1 + depth - 1):
      mixed = jax.tree.map(lambda a, b: jnp.stack([b[0], a[1]]), context, after)
      of = mixed if cuts and number >= cut else context
      new = entering(of, [True, True], [cuts and number == cut, False])
      state, emitted = tick(stream, model.params, state, new, jnp.float32(1))
      made[number - depth + 1] = {name: np.asarray(x) for name, x in emitted.clip.items()}
    return made

  plain, changed = movie(False), movie(True)
  for number in range(cut + 1):
    for name in plain[number]:
      np.testing.assert_array_equal(plain[number][name][1], changed[number][name][1])
      if number < cut:
        np.testing.assert_array_equal(plain[number][name][0], changed[number][name][0])
  # The same chunk as the first of a fresh stream that has counted to `cut`.
  fresh = stream.start(model.params, after, keys(3, 4))
  fresh = fresh.replace(count=jnp.array([cut, cut]))
  for number in range(depth):
    new = entering(after, [number == 0] * 2, [True, True])
    fresh, emitted = tick(stream, model.params, fresh, new, jnp.float32(1))
  np.testing.assert_array_equal(emitted.clip["sight"][0], changed[cut]["sight"][0])
  assert np.abs(plain[cut]["sight"][0] - changed[cut]["sight"][0]).max() > 1e-3


def test_with_little_noise_a_chunk_stays_close_to_its_source(model):
  """With residual guidance that never evaluates without caption, the anchor is the source."""
  stream, context = programs(model, levels=(1.0,), negative="never"), encoded(model, PROMPTS[:1])
  senses = model.system.data.senses
  rng = np.random.default_rng(1)
  source = {s.name: jnp.asarray(rng.uniform(-1, 1, (1, 1, *s.shape)), jnp.float32) for s in senses}

  def made(guidance, scale=1.0):
    state = stream.start(model.params, context, keys(0))
    new = entering(context, [True], source=source, scale=jnp.full(1, scale))
    return ticking()(stream, model.params, state, new, jnp.float32(guidance))[1].clip

  for name in source:
    np.testing.assert_array_equal(made(0.0)[name], source[name])  # The share of the output is 0.
    plain, half = made(1.0)[name], made(0.5)[name]
    inside = np.abs(plain) < 1  # Where the output was not clipped.
    assert inside.any()
    np.testing.assert_allclose(half[inside], ((plain + source[name]) / 2)[inside], atol=1e-5)
    # The noise is less, so the network sees the source: other outputs.
    assert np.abs(made(1.0)[name] - made(1.0, 0.2)[name]).max() > 1e-4


def test_a_slot_that_is_reset_begins_a_new_stream(model):
  stream, context, tick = programs(model), encoded(model, PROMPTS), ticking()
  state = stream.start(model.params, context, keys(3, 4))
  for _ in range(5):
    state, _ = tick(stream, model.params, state, entering(context, [True, True]), jnp.float32(1))
  state = stream.reset(state, jnp.array([True, False]), keys(9, 9))
  fresh = stream.start(model.params, context, keys(9, 9))
  for number in range(len(LEVELS)):
    new = entering(context, [number == 0, True])
    state, emitted = tick(stream, model.params, state, new, jnp.float32(1))
    fresh, expected = tick(stream, model.params, fresh, new, jnp.float32(1))
    assert int(emitted.number[0]) == (0 if number == len(LEVELS) - 1 else -1)
  np.testing.assert_array_equal(emitted.clip["sight"][0], expected.clip["sight"][0])


def test_the_state_is_arrays_of_constant_size_that_can_be_saved(model):
  stream, context = programs(model, negative="once"), encoded(model, PROMPTS)
  state = stream.start(model.params, context, keys(3, 4))
  shapes = jax.tree.map(lambda x: (x.shape, x.dtype), state)
  made = []
  for number in range(4):
    if number == 2:  # The stream moves to another machine.
      on_disk = jax.tree.map(np.asarray, state.replace(keys=jax.random.key_data(state.keys)))
      state = jax.tree.map(jnp.asarray, on_disk).replace(keys=jax.random.wrap_key_data(on_disk.keys))
    new = entering(context, [True, True])
    state, emitted = ticking()(stream, model.params, state, new, jnp.float32(2))
    made.append(emitted)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == shapes
  again = run(model, stream, [(True, True)] * 4, context, (3, 4))
  np.testing.assert_array_equal(made[-1].clip["sight"][0], again[0][1]["sight"])


def test_residual_guidance_needs_a_process_that_mixes_noise():
  model = drawn(
    micro.config(source__patch=1, model__causal=True, times__independent=True, process={"name": "reflected"})
  )
  with pytest.raises(UserError, match="use 'always'"):
    programs(model, negative="once")
