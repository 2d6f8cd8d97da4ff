"""Streams that are saved, moved between batches, and fed by videos."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.checkpoints.stream_file import load_stream, save_stream
from stale_jax.clip import Context
from stale_jax.errors import UserError
from stale_jax.sampling.stream.batch import ticking
from stale_jax.sampling.stream.noise import NoiseController
from stale_jax.sampling.stream.similarity import SimilarityFilter
from stale_jax.sampling.stream.slots import put_stream, take_stream
from stale_jax.sampling.stream.video import VideoToVideo
from tests.streams import PROMPTS, encoded, entering, keys, programs, stream_model


@pytest.fixture(scope="module")
def model():
  return stream_model()


@pytest.fixture(scope="module")
def stream(model):
  return programs(model, negative="once", sinks=1)


def ticks(model, stream, state, context, count):
  """(the state after `count` ticks in which all streams take chunks; sight of the last one)."""
  new = entering(context, [True] * len(state.keys))
  for _ in range(count):
    state, emitted = ticking()(stream, model.params, state, new, jnp.float32(2))
  return state, np.asarray(emitted.clip["sight"])


def same(a, b):
  def data(state):
    return jax.tree.leaves(state.replace(keys=jax.random.key_data(state.keys)))

  for x, y in zip(data(a), data(b), strict=True):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)


def test_a_stream_goes_on_from_its_file_with_the_same_bits(model, stream, tmp_path):
  context, path = encoded(model, PROMPTS), tmp_path / "stream.safetensors"
  begin = stream.start(model.params, context, keys(3, 4))
  half = ticks(model, stream, begin, context, 3)[0]
  save_stream(path, half)
  uninterrupted, expected = ticks(model, stream, half, context, 5)
  template = jax.eval_shape(lambda: stream.start(model.params, context, keys(0, 0)))
  loaded, made = ticks(model, stream, load_stream(path, template), context, 5)
  np.testing.assert_array_equal(made, expected)
  same(loaded, uninterrupted)


def test_a_file_of_another_batch_is_refused_in_one_line(model, stream, tmp_path):
  context, path = encoded(model, PROMPTS), tmp_path / "stream.safetensors"
  state = stream.start(model.params, context, keys(3, 4))
  save_stream(path, state)
  single = stream.start(model.params, encoded(model, PROMPTS[:1]), keys(3))
  with pytest.raises(UserError, match=r"2 stream\(s\) of 3 level\(s\), but this batch has 1 stream") as error:
    load_stream(path, single)
  assert "\n" not in str(error.value)
  longer = programs(model, negative="once", sinks=1, window=6).start(model.params, context, keys(3, 4))
  with pytest.raises(UserError, match="cache/.* differs"):
    load_stream(path, longer)
  with pytest.raises(UserError, match="no stream at"):
    load_stream(tmp_path / "nothing", single)
  (tmp_path / "text").write_text("no tensors")
  with pytest.raises(UserError, match="is no stream file"):
    load_stream(tmp_path / "text", single)


def test_bits_of_low_precision_are_kept(tmp_path):
  model, path = stream_model(model__dtype="bfloat16"), tmp_path / "stream.safetensors"
  stream, context = programs(model), encoded(model, PROMPTS[:1])
  state = stream.start(model.params, context, keys(3))
  state = state.replace(
    cache=jax.tree.map(
      lambda x: jnp.full(x.shape, 1.1, x.dtype) if x.dtype == jnp.bfloat16 else x, state.cache
    )
  )
  assert any(x.dtype == jnp.bfloat16 for x in jax.tree.leaves(state.cache))
  save_stream(path, state)
  same(load_stream(path, state), state)


def test_a_stream_moves_to_another_slot_and_to_a_batch_of_another_size(model, stream):
  context = encoded(model, PROMPTS)
  half = ticks(model, stream, stream.start(model.params, context, keys(3, 4)), context, 4)[0]
  one, expected = take_stream(half, 1), ticks(model, stream, jax.tree.map(jnp.copy, half), context, 5)[1][1]

  # Into the other slot of a batch of the same size, whose streams are older: the same program, the same bits.
  swapped = jax.tree.map(lambda x: x[::-1], context)
  other = ticks(model, stream, stream.start(model.params, swapped, keys(7, 8)), swapped, 6)[0]
  stays = take_stream(other, 1)
  moved = put_stream(other, 0, one)
  same(take_stream(moved, 0), one)
  same(take_stream(moved, 1), stays)
  np.testing.assert_array_equal(ticks(model, stream, moved, swapped, 5)[1][0], expected)

  # Into a batch of three: another program.
  three = jax.tree.map(lambda x: x[np.array([0, 0, 1])], context)
  wide = put_stream(stream.start(model.params, three, keys(0, 0, 0)), jnp.int32(2), one)
  np.testing.assert_allclose(ticks(model, stream, wide, three, 5)[1][2], expected, atol=1e-5)


def test_still_videos_are_skipped_and_moving_ones_get_less_noise():
  of = VideoToVideo(similarity=SimilarityFilter(most=4), noise=NoiseController(rate=0.5))
  rng, step = np.random.default_rng(0), jax.jit(of.__call__)
  context = Context(text=jnp.zeros((3, 8), jnp.int32))
  still = rng.uniform(-1, 1, (1, 2, 4, 4, 3)).astype(np.float32)
  state = of.start({"sight": jnp.zeros((3, 2, 4, 4, 3))})
  entered, scales = np.zeros((20, 3), bool), np.zeros((20, 3))
  for number in range(20):
    moving = rng.choice([-1.0, 1.0], (2, 2, 4, 4, 3)).astype(np.float32)
    source = {"sight": jnp.asarray(np.concatenate([np.repeat(still[:, :1], 2, 1), moving]))}
    arrived = jnp.array([True, True, number % 2 == 0])
    before = state
    state, new = step(state, source, context, arrived, keys(1, 2, 3))
    entered[number], scales[number] = new.which, new.scale
    if number % 2:  # The stream without a chunk has not changed.
      for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a[2], b[2])
  assert entered[:, 0].sum() == 4 and entered[:, 1].all()
  np.testing.assert_array_equal(entered[:, 2], np.arange(20) % 2 == 0)
  np.testing.assert_allclose(scales[-1, :2], [0.8, 0.7], atol=1e-3)
  # A source that is replaced begins anew, though it looks the same.
  state = of.reset(state, jnp.array([True, False, False]))
  assert bool(step(state, source, context, jnp.ones(3, bool), keys(1, 2, 3))[1].which[0])
