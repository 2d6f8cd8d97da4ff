"""The transformer: shapes, times, masks and which inputs affect which outputs."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax import text
from stale_jax.clip import Context, Sense
from stale_jax.data import Digits
from stale_jax.errors import UserError
from stale_jax.models import Transformer, scored
from stale_jax.models.layers import Dense, rotary_angles, rotate
from stale_jax.models.parameters import by_path
from stale_jax.models.patches import patchify, positions, unpatchify
from stale_jax.models.text import convolution
from stale_jax.testing.models import moved
from tests.models import small

SOURCE = Digits(canvas=12, frames=8)
SENSES = tuple(SOURCE.senses[name] for name in ("sight", "sound", "touch"))
MODEL = Transformer(
  senses=SENSES, width=32, side_width=16, text_width=16, condition_width=16, depth=2, heads=2, text_length=24
)


@pytest.fixture(scope="module")
def inputs():
  rng = np.random.default_rng(0)
  clip = {s.name: jnp.asarray(rng.uniform(-1, 1, (2, 8, *s.shape)), jnp.float32) for s in SENSES}
  context = Context(text=jnp.asarray(text.tokenize(["a red two", "ein blaues Übel"], 24)))
  t = jnp.asarray(rng.uniform(0, 1, (2, 8)), jnp.float32)
  return clip, t, context


@pytest.fixture(scope="module")
def apply(inputs):
  params = moved(jax.jit(MODEL.init)(jax.random.key(0), *inputs))
  return jax.jit(lambda clip, t, context: MODEL.apply(params, clip, t, context))


def same(a, b):
  return all(np.allclose(a[name], b[name], atol=1e-5) for name in a)


def test_it_starts_as_zero_and_keeps_shapes(inputs):
  clip, t, context = inputs
  params = jax.jit(MODEL.init)(jax.random.key(0), *inputs)
  out = small.apply(MODEL, params, clip, t, context)
  for name, x in out.items():
    assert x.shape == clip[name].shape and not np.any(x)


def test_every_sense_and_the_caption_reach_every_other(inputs, apply):
  clip, t, context = inputs
  base = apply(clip, t, context)
  for changed in clip:
    out = apply({**clip, changed: clip[changed] + 0.5}, t, context)
    for name in clip:
      assert np.abs(out[name] - base[name]).max() > 1e-4, (changed, name)
  out = apply(clip, t, Context(text=jnp.asarray(text.tokenize(["a red six", "x"], 24))))
  assert not same(out, base)


def test_apart_each_sense_is_denoised_as_if_it_were_alone(inputs, apply):
  clip, t, context = inputs
  together = apply(clip, t, context)
  out = apply(clip, t, context.replace(independent_senses=jnp.array([True, False])))
  for name in clip:
    alone = apply({name: clip[name]}, t, context.replace(independent_senses=jnp.array([True, True])))
    np.testing.assert_allclose(out[name][0], alone[name][0], atol=1e-5)
    np.testing.assert_allclose(out[name][1], together[name][1], atol=1e-5)
    assert np.abs(out[name][0] - together[name][0]).max() > 1e-4
  # Without the condition, a sense depends neither on the caption nor on the other senses.
  withheld = apply(clip, t, context.drop_condition(jnp.array([True, True])))
  other = {name: clip[name] if name == "sight" else -clip[name] for name in clip}
  nothing = Context(text=jnp.asarray(text.tokenize(["", ""], 24)), independent_senses=jnp.array([True, True]))
  np.testing.assert_allclose(apply(other, t, nothing)["sight"], withheld["sight"], atol=1e-5)


@pytest.mark.parametrize("emoji", ["😂", ""])
def test_scores_are_read_off_every_sense_and_change_nothing(inputs, emoji):
  clip, t, context = inputs
  judge = dataclasses.replace(MODEL, labels=5, emoji=emoji)
  shapes = jax.eval_shape(judge.init, jax.random.key(0), *inputs)
  assert set(shapes) == {"params"}
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda x: np.float32(0.2 * rng.standard_normal(x.shape)), shapes)

  @jax.jit
  def both(clip, context):
    return *scored(judge, params, clip, t, context), judge.apply(params, clip, t, context)

  def ask(clip, context):
    return both(clip, context)[:2]

  independent_senses = context.drop_condition(jnp.array([True, True]))
  for told in (context, independent_senses):
    out, base, unasked = both(clip, told)
    assert base.shape == (2, 5)
    # No token sees the emoji: the outputs of the senses are the same with and without it.
    for name in clip:
      np.testing.assert_allclose(out[name], unasked[name], atol=1e-5)
    for changed in clip:
      other, given = ask({**clip, changed: -clip[changed]}, told)
      # The emoji sees every sense, independent or not, and passes nothing between independent senses.
      assert np.abs(given - base).max() > 1e-4, changed
      for name in clip:
        if told is independent_senses and name != changed:
          np.testing.assert_allclose(other[name], out[name], atol=1e-5)
  # Masked frames do not affect the scores.
  masked = context.replace(valid={"touch": jnp.zeros((2, 8), bool)})
  given = [ask({**clip, "touch": sign * clip["touch"]}, masked)[1] for sign in (1, -1)]
  np.testing.assert_array_equal(*given)


def test_without_labels_there_is_nothing_of_them(inputs):
  judge = dataclasses.replace(MODEL, labels=5, emoji="😂")
  plain, judged = (jax.eval_shape(m.init, jax.random.key(0), *inputs)["params"] for m in (MODEL, judge))
  flat, more = (dict(jax.tree_util.tree_leaves_with_path(p)) for p in (plain, judged))
  assert flat.items() <= more.items()
  assert not [path for path in flat if "emoji" in str(path) or "scores" in str(path)]
  assert all("emoji" in str(path) or "scores" in str(path) for path in more.keys() - flat.keys())
  # A model without labels returns no scores even if the collection is mutable.
  variables = jax.tree.map(lambda x: jnp.zeros(x.shape), {"params": plain})
  assert MODEL.apply(variables, *inputs, mutable=["scores"])[1] == {}


def test_a_masked_sense_is_an_absent_one_whatever_it_holds(inputs, apply):
  clip, t, context = inputs
  masked = context.replace(valid={"touch": jnp.zeros((2, 8), bool)})
  out = apply(clip, t, masked)
  other = apply({**clip, "touch": -clip["touch"]}, t, masked)
  absent = apply({name: clip[name] for name in ("sight", "sound")}, t, context)
  for name in absent:
    np.testing.assert_array_equal(out[name], other[name])
    np.testing.assert_allclose(out[name], absent[name], atol=1e-5)
  # A missing sense differs from a sense of zeros.
  assert not same(
    absent, {k: v for k, v in apply({**clip, "touch": 0 * clip["touch"]}, t, context).items() if k in absent}
  )


def test_masking_is_an_example_s_own(inputs, apply):
  clip, t, context = inputs
  base = apply(clip, t, context)
  out = apply(clip, t, context.replace(valid={"touch": jnp.array([[True] * 8, [False] * 8])}))
  np.testing.assert_allclose(out["sight"][0], base["sight"][0], atol=1e-5)
  assert np.abs(out["sight"][1] - base["sight"][1]).max() > 1e-4


def test_padding_of_the_caption_is_not_seen(inputs):
  clip, t, _ = inputs
  params = jax.jit(MODEL.init)(jax.random.key(0), *inputs)
  params = jax.tree.map(lambda x: x + 0.05, params)
  tokens = text.tokenize(["a red two"] * 2, 24)
  assert (tokens[:, 12:] == 0).all()
  base = small.apply(MODEL, params, clip, t, Context(text=tokens))
  # The embedding of padding has no effect.
  table = params["params"]["text"]["bytes"]["embedding"]
  params["params"]["text"]["bytes"]["embedding"] = table.at[text.PAD].add(7.0)
  assert same(small.apply(MODEL, params, clip, t, Context(text=tokens)), base)


def test_each_frame_has_its_own_time(inputs, apply):
  clip, t, context = inputs
  base = apply(clip, t, context)
  for frame in range(8):
    assert not same(apply(clip, t.at[:, frame].set(0.9 - 0.5 * (t[:, frame] > 0.5)), context), base), frame


def test_patchify_is_undone_and_cuts_where_it_says():
  sense = Sense(name="a", shape=(4, 6, 3), rate=1, patch=(2, 2, 3), channels=("r", "g", "b"))
  x = jnp.arange(2 * 4 * 4 * 6 * 3.0).reshape(2, 4, 4, 6, 3)
  tokens = patchify(x, sense)
  assert tokens.shape == (2, 2, 4, 36)
  np.testing.assert_array_equal(tokens[1, 1, 3].reshape(2, 2, 3, 3), x[1, 2:4, 2:4, 3:6])
  np.testing.assert_array_equal(unpatchify(tokens, sense), x)
  assert positions(sense, 4).tolist()[:5] == [[0.5, 0, 0], [0.5, 0, 1], [0.5, 1, 0], [0.5, 1, 1], [2.5, 0, 0]]


def test_it_takes_any_grid_that_its_patch_divides(inputs):
  clip, t, context = inputs
  shapes = jax.eval_shape(MODEL.init, jax.random.key(0), *inputs)
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda x: np.float32(0.2 * rng.standard_normal(x.shape)), shapes)
  wide = {**clip, "sight": jnp.asarray(rng.uniform(-1, 1, (2, 8, 8, 16, 3)), jnp.float32)}
  senses = tuple(s.on((8, 16, 3)) if s.name == "sight" else s for s in SENSES)
  own = dataclasses.replace(MODEL, senses=senses)
  for frames in (8, 4):
    cut = {name: x[:, :frames] for name, x in wide.items()}, t[:, :frames], context
    out, want = small.apply(MODEL, params, *cut), small.apply(own, params, *cut)
    for name, x in want.items():
      assert x.shape == cut[0][name].shape
      np.testing.assert_array_equal(out[name], x)
  with pytest.raises(UserError, match=r"sight has shape \(2, 8, 8, 14, 3\)"):
    MODEL.apply(params, {**clip, "sight": wide["sight"][..., :14, :]}, t, context)


def test_rotary_attention_depends_on_relative_position_only():
  rng = np.random.default_rng(0)
  q, k = rng.normal(size=(2, 1, 1, 1, 24)).astype(np.float32)

  def logit(p, r):
    a, b = (rotary_angles(np.array([v], np.float32), 24) for v in (p, r))
    return float(jnp.sum(rotate(q[0], a[:, None]) * rotate(k[0], b[:, None])))

  assert logit([1, 2, 3], [4, 1, 7]) == pytest.approx(logit([11, 5, 4], [14, 4, 8]), abs=1e-4)
  for axis in range(3):
    moved = np.array([4.0, 1, 7])
    moved[axis] += 1
    assert abs(logit([1, 2, 3], moved) - logit([1, 2, 3], [4, 1, 7])) > 1e-3


def test_flattened_dense_is_dense():
  x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
  params = Dense(7).init(jax.random.key(0), x)
  want = nn.Dense(7).apply({"params": params["params"]["dense"]}, x)
  np.testing.assert_allclose(Dense(7).apply(params, x), want, atol=1e-6)


def test_streams_have_weights_of_their_own():
  params = by_path(MODEL.declared, jax.jit(MODEL.init)(jax.random.key(0)))
  for part in ("qkv", "out", "up", "down", "modulation"):
    for stream in ("text", "sight", "sound", "touch"):
      assert f"block_0/{stream}_{part}/dense/kernel" in params


def test_bfloat16_is_close(inputs, apply):
  params = jax.jit(MODEL.init)(jax.random.key(0), *inputs)
  params = jax.tree.map(lambda x: x + 0.02, params)
  half = small.apply(dataclasses.replace(MODEL, dtype="bfloat16"), params, *inputs)
  full = small.apply(MODEL, params, *inputs)
  for name in full:
    assert half[name].dtype == jnp.float32
    assert np.abs(half[name] - full[name]).max() < 0.05 * np.abs(full[name]).max() + 0.05


def test_wrong_shapes_and_senses_are_named(inputs):
  clip, t, context = inputs
  params = MODEL.init(jax.random.key(0))
  with pytest.raises(UserError, match=r"sight has shape \(2, 8, 12, 12, 1\).*\(2, 8, 12, 12, 3\)"):
    MODEL.apply(params, {"sight": clip["sight"][..., :1]}, t, context)
  with pytest.raises(UserError, match="no sense 'tuch'"):
    MODEL.apply(params, {"tuch": clip["touch"]}, t, context)
  with pytest.raises(UserError, match="its patch of 4 frames"):
    MODEL.apply(params, {"touch": clip["touch"][:, :6]}, t[:, :6], context)


def test_the_convolution_is_flax_s():
  x = np.random.default_rng(0).standard_normal((2, 12, 5)).astype(np.float32)
  theirs = nn.Conv(5, (7,))
  params = theirs.init(jax.random.key(0), x)
  params = jax.tree.map(lambda p: p + 0.1, params)
  ours = convolution(params["params"], x, jnp.float32)
  np.testing.assert_allclose(ours, theirs.apply(params, x), atol=1e-5)
