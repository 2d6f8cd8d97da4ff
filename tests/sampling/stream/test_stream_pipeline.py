"""Blocks of a stream batch over several devices, and how they are divided."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.sampling.stream.balance import even, rebalanced, stages
from stale_jax.sampling.stream.batch import ticking
from stale_jax.sampling.stream.block_pipeline import BlockPipeline
from tests.devices import on_devices
from tests.streams import PROMPTS, encoded, entering, keys, programs, stream_model


def test_blocks_move_from_slow_stages_to_fast_ones_and_none_is_lost():
  assert rebalanced([8, 8, 8, 8], [3, 1, 1, 2]) == (2, 12, 11, 7)
  assert rebalanced([4, 4], [1, 1]) == (4, 4) and rebalanced([1, 1, 1], [9, 1, 1]) == (1, 1, 1)
  rng = np.random.default_rng(0)
  for _ in range(200):
    blocks, seconds = rng.integers(1, 12, 5).tolist(), rng.uniform(0.1, 5, 5).tolist()
    target = rebalanced(blocks, seconds)
    assert sum(target) == sum(blocks) and min(target) >= 1
  assert even(7, 3) == (3, 2, 2) and stages((3, 2, 2)) == (range(0, 3), range(3, 5), range(5, 7))
  with pytest.raises(UserError, match="at least one"):
    even(2, 3)


@pytest.mark.slow
@on_devices(2)
def test_a_pipeline_over_devices_makes_the_chunks_of_the_sequential_engine():
  model = stream_model(model__depth=3)
  stream, context = programs(model, sinks=1), encoded(model, PROMPTS)
  devices, scale, count = jax.devices(), jnp.float32(2), 7
  new = entering(context, [True, True])

  def sequential():
    state, made = stream.start(model.params, context, keys(3, 4)), []
    for _ in range(count):
      state, emitted = ticking()(stream, model.params, state, new, scale)
      made.append(jax.device_get(emitted))
    return made

  def pipelined(places, blocks, moved_to=None):
    pipeline = BlockPipeline(stream=stream, devices=places, blocks=blocks)
    parts, state, made = pipeline.place(model.params), pipeline.start(model.params, context, keys(3, 4)), []
    for number in range(count):
      if number == 4 and moved_to:  # Blocks and their caches move to other devices.
        whole = pipeline.join(state)
        pipeline = BlockPipeline(stream=stream, devices=places, blocks=moved_to)
        parts, state = pipeline.place(model.params), pipeline.split(whole)
      seconds = []
      state, emitted = pipeline.tick(parts, state, new, scale, seconds)
      assert len(seconds) == len(blocks)
      made.append(jax.device_get(emitted))
    for cache, part, device in zip(state.caches, parts, places, strict=True):
      assert {d for x in jax.tree.leaves((cache, part)) for d in x.devices()} == {device}
    return made

  expected = sequential()
  spread = pipelined(tuple(devices), (2, 1))
  alone = pipelined(tuple(devices[:1] * 2), (2, 1))
  moved = pipelined(tuple(devices), (2, 1), (1, 2))
  for number in range(count):
    for name, x in expected[number].clip.items():
      np.testing.assert_array_equal(spread[number].clip[name], alone[number].clip[name])
      for made in (spread, moved):
        np.testing.assert_allclose(made[number].clip[name], x, atol=1e-5)
    np.testing.assert_array_equal(spread[number].number, expected[number].number)
  assert np.abs(expected[-1].clip["sight"] - expected[-2].clip["sight"]).max() > 1e-3


def test_a_division_that_does_not_fit_is_refused():
  model = stream_model()
  with pytest.raises(UserError, match="no numbers of blocks"):
    BlockPipeline(stream=programs(model), devices=(None, None), blocks=(1, 1))
