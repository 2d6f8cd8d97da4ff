"""The device side against a stream batch that is run directly; no compilation after `warm`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.sampling import replaced
from stale_jax.sampling.samplers.stream import StreamRollout
from stale_jax.sampling.stream.batch import Entering, ticking
from stale_jax.serving.engine import Engine, Row
from stale_jax.text import tokenize
from tests.serving.served import PROMPTS


@pytest.fixture(scope="module")
def settings(live_model):
  return live_model.settings(solver="consistency", steps=2)


@pytest.fixture(scope="module")
def programs(live_model, settings):
  """Equal to those of the server of `served`, so that they are compiled once."""
  system = live_model.system
  return StreamRollout.build(replaced(system.diffusion.rollout, how="stream"), system).programs(settings)


@pytest.fixture(scope="module")
def engine(live_model, programs, settings):
  engine = Engine(live_model.system, live_model.params, programs, settings.guidance, sources=True)
  engine.warm((1, 2))
  return engine


@pytest.fixture
def compilations():
  """The programs that are compiled."""
  found = []

  def listen(name, _, **about):
    if "backend_compile" in name:
      found.append(name)

  jax.monitoring.register_event_duration_secs_listener(listen)
  yield found
  jax.monitoring.unregister_event_duration_listener(listen)


def directly(model, programs, prompts, seeds, ticks, begins=()):
  """Ticks of StreamBatch itself: prompts[tick][stream]."""
  encode = jax.jit(model.system.network.encode_captions)

  def context(tick):
    length = model.system.network.text_length
    rows = [encode(model.params, Context(text=jnp.asarray(tokenize([p], length)))) for p in prompts(tick)]
    return jax.tree.map(lambda *x: jnp.concatenate(x), *rows)

  keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
  state, made = programs.start(model.params, context(0), keys), []
  for tick in range(ticks):
    entering = Entering(
      which=jnp.ones(len(seeds), bool),
      begins=jnp.full(len(seeds), tick in begins),
      context=context(tick),
      source={s.name: jnp.zeros((len(seeds), 1, *s.shape)) for s in programs.senses},
      scale=jnp.ones(len(seeds), jnp.float32),
    )
    state, emitted = ticking()(
      programs, model.params, state, entering, jnp.float32(model.settings().guidance)
    )
    made.append(jax.tree.map(np.asarray, emitted.clip))
  return made[1:]  # The first leaves in the second tick.


def test_chunks_have_the_bits_of_the_stream_batch(live_model, programs, engine):
  made = []
  for tick in range(6):
    prompts = PROMPTS if tick < 3 else PROMPTS[::-1]
    begins = tick == 3
    rows = {
      name: Row(prompt=p, seed=i, begins=begins)
      for i, (name, p) in enumerate(zip("ab", prompts, strict=True))
    }
    made.append(engine.tick(rows))
  assert not made[0]
  expected = directly(
    live_model, programs, lambda tick: PROMPTS if tick < 3 else PROMPTS[::-1], (0, 1), 6, begins=(3,)
  )
  for number, (chunks, clip) in enumerate(zip(made[1:], expected, strict=True)):
    for i, name in enumerate("ab"):
      assert chunks[name][0] == number
      for sense, x in chunks[name][1].items():
        np.testing.assert_array_equal(x, clip[sense][i])
  engine.tick({})


def test_streams_come_and_go_without_compilation_and_do_not_change_others(
  live_model, programs, engine, compilations
):
  row, made = Row(prompt=PROMPTS[0], seed=7), []
  schedule = ["a", "a", "ab", "ab", "abc"[::2], "a", "ac", "a", "a", "ab"]
  for names in schedule:
    rows = {name: row if name == "a" else Row(prompt="other", seed=3) for name in names}
    if (chunk := engine.tick(rows).get("a")) is not None:
      made.append(chunk)
  assert compilations == []
  assert [number for number, _ in made] == list(range(9))
  expected = directly(live_model, programs, lambda _: PROMPTS[:1], (7,), 10)
  for (_, clip), reference in zip(made, expected, strict=True):
    for sense, x in clip.items():  # The batch has one or two streams, whose programs round differently.
      np.testing.assert_allclose(x, reference[sense][0], atol=2e-4)
  engine.tick({})


def test_a_primed_stream_emits_in_its_first_tick_of_the_batch(live_model, programs, engine, compilations):
  row = Row(prompt=PROMPTS[0], seed=7)
  made = [engine.tick({"b": Row(prompt=PROMPTS[1], seed=2)})]
  engine.prime("a", row)
  for _ in range(4):
    made.append(engine.tick({"a": row, "b": Row(prompt=PROMPTS[1], seed=2)}))
  assert compilations == [] and [chunks["a"][0] for chunks in made[1:]] == [0, 1, 2, 3]
  assert [chunks["b"][0] for chunks in made[1:]] == [0, 1, 2, 3]
  expected = directly(live_model, programs, lambda _: PROMPTS, (7, 2), 5)
  for chunks, reference in zip(made[1:], expected, strict=True):
    for i, name in enumerate("ab"):
      for sense, x in chunks[name][1].items():
        np.testing.assert_allclose(x, reference[sense][i], atol=2e-4)
  engine.tick({})


def test_a_stream_that_pauses_skips_no_chunk(engine):
  numbers = []
  for tick in range(8):
    chunk = engine.tick({"p": Row(prompt="", seed=1, enters=tick % 3 != 0)}).get("p")
    numbers += [] if chunk is None else [chunk[0]]
  assert numbers == list(range(len(numbers))) and len(numbers) >= 4
  engine.tick({})


def test_tables_have_the_measured_sizes(engine):
  table = engine.measure([1, 2], repeats=2)
  assert list(table.seconds) == [1, 2] and min(table.seconds.values()) > 0
