"""The KV cache: equality with the model on whole clips, and the contents of the slots."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context, Sense
from stale_jax.models import Transformer
from stale_jax.models.kv_cache import KVCache, empty_cache, push, refresh_sinks
from stale_jax.testing.models import moved
from stale_jax.text import tokenize
from tests.models import small

FRAMES = 6


def model(depth=2, patch=1, **kw):
  senses = (
    Sense(name="sight", shape=(4, 4, 1), rate=8, patch=(patch, 2, 2), channels=("grey",)),
    Sense(name="touch", shape=(2,), rate=8, patch=(patch,), channels=("a", "b")),
  )
  sizes = {"width": 24, "side_width": 8, "text_width": 8, "condition_width": 8, "heads": 2, "text_length": 8}
  return Transformer(senses=senses, depth=depth, causal=True, **sizes, **kw)


def inputs(network, batch=2, frames=FRAMES):
  rng = np.random.default_rng(0)
  clip = {
    s.name: jnp.asarray(rng.uniform(-1, 1, (batch, frames, *s.shape)), jnp.float32) for s in network.senses
  }
  t = jnp.asarray(rng.uniform(size=(batch, frames)), jnp.float32)
  context = Context(text=jnp.asarray(tokenize(["one", "other"][:batch], 8)))
  params = jax.jit(network.init)(jax.random.key(0), clip, t, context)
  return moved(params, by=0.2), clip, t, context


def part(clip, a, b):
  return {name: x[:, a:b] for name, x in clip.items()}


def read(network, params, clip, t, context, cache=None):
  out, sown = jax.jit(lambda *a: network.apply(*a, mutable=["kv"]))(params, clip, t, context, cache)
  kinds = sown["kv"]
  return out, tuple({block: kinds[block][kind][0] for block in kinds} for kind in ("keys", "values"))


def patches(network):
  return {sense.name: sense.patch[0] for sense in network.senses}


def test_no_frame_sees_a_later_one_nor_when_it_is():
  network = model()
  params, clip, t, context = inputs(network)
  before = small.apply(network, params, clip, t, context)
  later = {name: x.at[:, 3:].set(0.5) for name, x in clip.items()}
  after = small.apply(network, params, later, t.at[:, 3:].set(0.9), context)
  for name in clip:
    np.testing.assert_array_equal(before[name][:, :3], after[name][:, :3])
    assert np.abs(before[name][:, 3:] - after[name][:, 3:]).max() > 1e-3


@pytest.mark.parametrize(
  ("patch", "chunk", "attention"),
  [(1, 1, "xla"), (1, 2, "xla"), (2, 2, "xla"), (1, 2, "splash"), (2, 2, "unfused")],
)
def test_frame_by_frame_is_the_whole_clip(patch, chunk, attention):
  network = model(patch=patch, attention=attention)
  params, clip, t, context = inputs(network)
  whole, new = read(network, params, clip, t, context)
  cache = empty_cache(new, patches(network), FRAMES)
  for a in range(0, FRAMES, chunk):
    own = slice(a, a + chunk)
    out, new = read(network, params, part(clip, a, a + chunk), t[:, own], context, cache)
    for name in clip:
      np.testing.assert_allclose(out[name], whole[name][:, own], atol=1e-5 * np.abs(whole[name]).max())
    cache = push(cache, new, patches(network))


@pytest.mark.system
@pytest.mark.parametrize("sinks", [0, 1])
def test_an_endless_movie_sees_its_window_as_a_clip(sinks):
  """With one block, keys and values depend on one frame only, so the cache equals a clip of the window."""
  network, room = model(depth=1), 3
  params, clip, t, context = inputs(network, frames=9)
  _, new = read(network, params, part(clip, 0, 1), t[:, :1], context)
  cache = empty_cache(new, patches(network), room)
  for now in range(9):
    out, new = read(network, params, part(clip, now, now + 1), t[:, now : now + 1], context, cache)
    seen = [*range(now + 1)] if now <= room else [*range(sinks), *range(now - room + sinks, now + 1)]
    window = {name: x[:, jnp.asarray(seen)] for name, x in clip.items()}
    expected = small.apply(network, params, window, t[:, jnp.asarray(seen)], context)
    for name in clip:
      np.testing.assert_allclose(out[name][:, 0], expected[name][:, -1], atol=2e-4, rtol=1e-4)
    cache = push(cache, new, patches(network), sinks)


def _slots(frames, room, sinks, chunk, decay=1.0):
  """The contents of the slots if all values of frame i are i + 1."""
  cache, one = None, {"touch": 1}
  for a in range(0, frames, chunk):
    x = jnp.arange(a + 1.0, a + 1 + chunk).reshape(1, chunk, 1, 1, 1)
    new = ({"block_0": {"touch": x}}, {"block_0": {"touch": 10 * x}})
    cache = empty_cache(new, one, room) if cache is None else cache
    cache = push(cache, new, one, sinks, decay)
  np.testing.assert_allclose(cache.values["block_0"]["touch"], 10 * cache.keys["block_0"]["touch"], rtol=1e-6)
  assert isinstance(cache, KVCache) and cache.frames.tolist() == [min(frames, room)]
  return np.ravel(cache.keys["block_0"]["touch"]).tolist()


def test_the_oldest_go_first_but_for_the_sinks():
  assert _slots(3, 5, 2, 1) == [0, 0, 1, 2, 3]
  assert _slots(5, 5, 2, 1) == [1, 2, 3, 4, 5]
  assert _slots(9, 5, 2, 1) == [1, 2, 7, 8, 9]
  assert _slots(9, 5, 0, 3) == [5, 6, 7, 8, 9]
  assert _slots(9, 5, 2, 3) == [1, 2, 7, 8, 9]
  assert _slots(12, 5, 1, 3) == [1, 9, 10, 11, 12]


def test_an_averaging_sink_takes_up_what_is_forgotten():
  # Frames 2, 3 and 4 are evicted one by one.
  sink = 1.0
  for gone in (2, 3, 4):
    sink = 0.75 * sink + 0.25 * gone
  np.testing.assert_allclose(_slots(6, 3, 1, 1, decay=0.75), [sink, 5, 6], rtol=1e-6)
  # The second push evicts frame 2; the third 3, 4 and 5.
  np.testing.assert_allclose(_slots(6, 5, 1, 3, decay=0.5), [1.5, 3, 4, 5, 6], rtol=1e-6)
  np.testing.assert_allclose(_slots(9, 5, 1, 3, decay=0.5), [2.75, 6, 7, 8, 9], rtol=1e-6)
  np.testing.assert_allclose(_slots(8, 3, 1, 8, decay=0.5), [2.5, 7, 8], rtol=1e-6)


def test_jitter_turns_heads_differently_in_time_alone():
  plain, jittered = model(), model(rope_jitter=0.8)
  params, clip, t, context = inputs(plain)
  # With one frame all rotations by time are equal.
  first = part(clip, 0, 1), t[:, :1], context
  same, other = (network.apply(params, *first)["sight"] for network in (plain, jittered))
  np.testing.assert_allclose(same, other, atol=1e-5)
  assert (
    np.abs(
      plain.apply(params, clip, t, context)["sight"] - jittered.apply(params, clip, t, context)["sight"]
    ).max()
    > 1e-3
  )


def test_rows_of_different_ages_are_what_they_are_alone():
  """A movie that joins a batch later, or whose cache is emptied, does not see the frames of others."""
  network, room = model(), 4
  params, clip, t, context = inputs(network, frames=8)
  begin = 3  # The second movie begins at this frame.
  _, new = read(network, params, part(clip, 0, 1), t[:, :1], context)
  cache, made = empty_cache(new, patches(network), room), []
  for now in range(8):
    one = part(clip, now, now + 1), t[:, now : now + 1]
    out, new = read(network, params, *one, context, cache)
    made.append(out)
    cache = push(cache, new, patches(network), sinks=1, which=jnp.array([True, now >= begin]))
  assert cache.frames.tolist() == [4, 4]
  for row, first in ((0, 0), (1, begin)):
    own = {name: x[row : row + 1] for name, x in clip.items()}
    of = jax.tree.map(lambda x, row=row: x[row : row + 1], context)
    alone = empty_cache(jax.tree.map(lambda x: x[:1], new), patches(network), room)
    for now in range(first, 8):
      one = part(own, now, now + 1), t[row : row + 1, now : now + 1]
      out, added = read(network, params, *one, of, alone)
      for name in clip:
        np.testing.assert_allclose(made[now][name][row], out[name][0], atol=2e-5, rtol=1e-5)
      alone = push(alone, added, patches(network), sinks=1)


def _movie_of(values, threshold, sinks=2, room=4):
  """The keys of one stream whose frame i has keys values[i], [heads, width], and values twice that."""
  cache, everyone = None, jnp.array([True])
  for value in values:
    x = jnp.asarray(value, jnp.float32)[None, None, None]
    new = ({"block_0": {"touch": x}}, {"block_0": {"touch": 2 * x}})
    cache = empty_cache(new, {"touch": 1}, room) if cache is None else cache
    cache = refresh_sinks(cache, new, {"touch": 1}, sinks, threshold, everyone)
    cache = push(cache, new, {"touch": 1}, sinks)
  return np.asarray(cache.keys["block_0"]["touch"])[0, :, 0, 0]


def test_a_cut_replaces_sinks_and_a_still_scene_none():
  """StreamDiffusionV2: within two chunks of a cut at least one sink is new."""
  before, after = np.array([[1.0, 0.2, 0]]), np.array([[-0.2, 1.0, 0.5]])
  still = _movie_of([before * (1 + 0.01 * i) for i in range(9)], threshold=0.5)
  np.testing.assert_allclose(still[:2], [before[0], 1.01 * before[0]], rtol=1e-6)
  cut = _movie_of([before] * 6 + [after], threshold=0.5)
  np.testing.assert_allclose(cut[:2], [after[0], before[0]], rtol=1e-6)
  later = _movie_of([before] * 6 + [after] * 2, threshold=0.5)
  np.testing.assert_allclose(later[:2], [after[0], after[0]], rtol=1e-6)
  # Without a threshold, or before the cache is full, sinks stay.
  np.testing.assert_allclose(_movie_of([before] * 6 + [after] * 2, threshold=-1)[0], before[0])
  np.testing.assert_allclose(_movie_of([before, after, after], threshold=0.5)[1], before[0])
