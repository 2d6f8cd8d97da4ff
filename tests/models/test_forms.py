"""Two forms: attention masks, the gate, and the computation that the hard mode skips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax import text
from stale_jax.clip import Context
from stale_jax.errors import UserError
from stale_jax.evaluation.forms import plots, table
from stale_jax.models.block import BlockStack
from stale_jax.models.build import build_model
from stale_jax.models.forms import FORMS, TwoForms, restricted_attention
from stale_jax.models.lanes import Lane
from stale_jax.models.mixers import TokenLayout
from stale_jax.models.parameters import draw
from stale_jax.models.visibility import EMOJI, Rule, join, stream_tokens
from tests.models import small

DENSE, HARD = small.model(forms="dense"), small.model(forms="hard")
SHAPES = {"text": (1, 5), "sight": (3, 4), "sound": (3, 1), "emoji": (1, 1)}
HAVING = {"vehicular": ("sight",), "anthropomorphic": ("sight", "sound")}


@pytest.fixture(scope="module")
def params():
  return small.params(DENSE)


@pytest.fixture(scope="module")
def dense():
  return jax.jit(DENSE.apply)


@pytest.fixture(scope="module")
def hard():
  return jax.jit(HARD.apply)


@jax.jit
def gates(params, clip, t, context):
  """The gates of both blocks, [batch, blocks]."""
  _, sown = DENSE.apply(params, clip, t, context, mutable="intermediates")
  return jnp.stack([sown["intermediates"][f"block_{i}"]["forms"]["plot"] for i in range(2)], -1)


def lean(params, bias, zero=True):
  """Replaces the parameters of the gate: a bias, and whether caption and time still have an effect."""

  def one(path, x):
    name = jax.tree_util.keystr(path)
    if "plot" not in name:
      return x
    return jnp.full_like(x, bias) if "bias" in name else x * (not zero)

  return jax.tree_util.tree_map_with_path(one, params)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("apart", [False, True])
def test_restricted_attention_is_masked_attention(form, apart):
  rng = np.random.default_rng(0)
  time, place, who = [], [], {}
  for number, (name, (times, places)) in enumerate(SHAPES.items()):
    real = jnp.asarray(rng.random((2, times, places)) < 0.7) | (name in ("text", "emoji"))
    number = EMOJI if name == "emoji" else number
    who[name] = stream_tokens(real, number, independent_senses=jnp.array([apart, False]))
    for t in range(times):
      for p in range(places):
        time.append(t if name in HAVING["anthropomorphic"] else None)
        place.append(p if name in HAVING["vehicular"] else None)
  coordinate = place if form == "vehicular" else time
  n = len(coordinate)
  who = join(who, 2)
  mask = np.asarray(Rule()(who, who))
  q, k, v = rng.standard_normal((3, 2, n, 2, 6)).astype(np.float32)
  run = jax.jit(lambda *args: restricted_attention(*args, SHAPES, HAVING[form], FORMS[form]))
  got, want = run(q, k, v, who), np.zeros((2, n, 2, 6))
  for b in range(2):
    for i in range(n):
      sees = [
        j
        for j in range(n)
        if mask[b, i, j]
        and (coordinate[i] is None or coordinate[j] is None or coordinate[i] == coordinate[j])
      ]
      for h in range(2):
        logits = k[b, sees, h].astype(np.float64) @ q[b, i, h] / np.sqrt(6)
        p = np.exp(logits - logits.max())
        want[b, i, h] = (p / p.sum()) @ v[b, sees, h]
  np.testing.assert_allclose(got, want, atol=1e-5)
  assert np.abs(jax.nn.dot_product_attention(q, k, v, mask=jnp.asarray(mask)[:, None]) - got).max() > 0.1


def everyone(batch, shapes):
  """Tokens of streams of (time, place), all of them real."""
  return join(
    {str(n): stream_tokens(jnp.ones((batch, *shape), bool), n) for n, shape in enumerate(shapes)}, batch
  )


def test_without_sight_nobody_has_a_place():
  q, k, v = np.random.default_rng(0).standard_normal((3, 1, 8, 2, 6)).astype(np.float32)
  shapes = {"text": (1, 5), "sound": (3, 1)}
  got = restricted_attention(q, k, v, everyone(1, shapes.values()), shapes, (), 2)
  np.testing.assert_allclose(got, jax.nn.dot_product_attention(q, k, v), atol=1e-6)


def test_the_gate_starts_in_the_middle_and_has_a_gradient():
  rng = np.random.default_rng(0)
  shapes = {"text": (2, 1, 3, 8), "sight": (2, 2, 4, 8), "touch": (2, 2, 1, 8)}
  streams = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
  angles = {name: np.zeros((shape[1] * shape[2], 3), np.float32) for name, shape in shapes.items()}
  tokens = {n: stream_tokens(jnp.ones((2, *s[1:3]), bool), i) for i, (n, s) in enumerate(shapes.items())}
  condition = rng.standard_normal((2, 1, 5)).astype(np.float32)
  forms = TwoForms(mode="dense", heads=2, head_width=6)
  lanes = tuple(Lane(stored=name, members=(name,)) for name in shapes)
  stack = BlockStack(depth=1, lanes=lanes)
  declared = forms.parameters({name: 8 for name in shapes}, 5, stack)
  senses = {"timed": ("sight", "touch"), "placed": ("sight",)}
  layout = TokenLayout(angles=angles, tokens=tokens, shapes={n: s[1:3] for n, s in shapes.items()}, **senses)

  @jax.jit
  def run(key):
    params = jax.tree.map(lambda x: x[0], draw(declared, key))
    weight = {name: rng.standard_normal((2, *shape[1:3], 2, 6)) for name, shape in shapes.items()}

    def loss(params):
      attended, _ = forms(params, lanes, streams, condition, layout, "", None)
      return sum(jnp.sum(weight[name] * x) for name, x in attended.items())

    grads = jax.grad(loss)(params)
    return params["forms"]["plot_modulation"]["dense"], grads["forms"]["plot_modulation"]["dense"]

  fresh, grads = run(jax.random.key(0))
  assert not np.any(fresh["kernel"]) and not np.any(fresh["bias"])
  assert np.abs(grads["kernel"]).min() > 1e-4 and np.abs(grads["bias"]).min() > 1e-4


def test_the_gate_hears_caption_and_time_and_sees_no_clip(params):
  clip, t, context = small.inputs()
  base = gates(params, clip, t, context)
  np.testing.assert_array_equal(gates(params, jax.tree.map(jnp.negative, clip), t, context), base)
  other = Context(text=jnp.asarray(text.tokenize(["a blue six", "ein blaues Übel"], 24)))
  changed = np.abs(gates(params, clip, t, other) - base)
  assert changed[0].min() > 1e-4 and changed[1].max() < 1e-6
  assert np.abs(gates(params, clip, 0.5 * t, context) - base).min() > 1e-5


@pytest.mark.parametrize("bias", [-60.0, 60.0])
def test_hard_is_dense_where_the_gate_is_saturated(params, dense, hard, bias):
  given, saturated = small.inputs(), lean(params, bias)
  small.close(hard(saturated, *given), dense(saturated, *given))
  # Negative control: the other form has other outputs.
  assert small.differ(hard(saturated, *given), hard(lean(params, -bias), *given), 1e-4)


@pytest.mark.parametrize("fields", [{}, {"scan": True}, {"remat": "full"}])
def test_training_draws_concrete_gates_and_inference_does_not(params, dense, fields):
  given, model = small.inputs(), small.model(forms="concrete", **fields)

  @jax.jit
  def drawn(params, seed):
    return model.apply(params, *given, rngs={"perturb": jax.random.key(seed)})

  small.close(jax.jit(model.apply)(params, *given), dense(params, *given))
  even, sure = lean(params, 0.0), lean(params, 60.0)
  same, other = drawn(even, 0), drawn(even, 1)
  small.close(same, drawn(even, 0), 0)
  assert small.differ(same, other, 1e-3) and small.differ(same, dense(even, *given), 1e-3)
  # Blocks draw independent noise; it does not change a saturated gate.
  small.close(drawn(sure, 0), dense(sure, *given))


def test_concrete_gates_have_their_density(params):
  clip, t, context = small.inputs()
  model = small.model(forms="concrete")

  @jax.jit
  def plot(key):
    _, sown = model.apply(
      lean(params, 1.0), clip, t, context, rngs={"perturb": key}, mutable=["intermediates"]
    )
    return jnp.stack([sown["intermediates"][f"block_{i}"]["forms"]["plot"] for i in range(2)])

  found = np.asarray(jax.vmap(plot)(jax.random.split(jax.random.key(0), 500)))
  # 2,000 draws. P(gate > a) = sigmoid(logit - 2/3 log(a / (1 - a))), so P(gate > 1/2) is the plain gate.
  for a in (0.1, 0.5, 0.9):
    assert (found > a).mean() == pytest.approx(1 / (1 + np.exp(2 / 3 * np.log(a / (1 - a)) - 1)), abs=0.04)
  apart = np.corrcoef(found.reshape(500, 4).T)[np.triu_indices(4, 1)]
  assert np.abs(apart).max() < 0.2


def split(params):
  """Parameters for which the gates of the two captions are on opposite sides of 1/2 in every block."""
  params, found = jax.tree.map(lambda x: x, params), gates(lean(params, 0.0, zero=False), *small.inputs())
  for layer, (one, other) in enumerate(np.log(found / (1 - found)).T):
    plot = params["params"]["blocks"]["forms"]["plot_modulation"]["dense"]
    scale = 120 / (one - other)
    plot["kernel"] = plot["kernel"].at[layer].multiply(scale)
    plot["bias"] = plot["bias"].at[layer].set(-scale * (one + other) / 2)
  return params


def test_each_example_takes_its_own_form_whoever_is_beside_it(params, dense, hard):
  clip, t, context = small.inputs()
  mixed = split(params)
  got = hard(mixed, clip, t, context)
  small.close(got, dense(mixed, clip, t, context))
  for i in range(2):
    alone = jax.tree.map(lambda x, i=i: jnp.repeat(x[i : i + 1], 2, 0), (clip, t, context))
    small.close(jax.tree.map(lambda x, i=i: x[i], got), jax.tree.map(lambda x: x[0], hard(mixed, *alone)))


def test_the_form_not_taken_is_not_computed():
  def flops(model):
    lowered = jax.jit(model.apply).lower(small.params(model), *small.inputs())
    return lowered.compile().cost_analysis()["flops"]

  none, dense, hard = map(flops, (small.model(), DENSE, HARD))
  # The hard mode saves one form: its projections (a fifth of the block's matrix products) and its attention.
  assert hard < 0.9 * dense
  # One form costs no more than joint attention.
  assert hard < 1.02 * none


def test_per_frame_times_are_each_frame_s_own(params, dense):
  clip, t, context = small.inputs()
  base = dense(params, clip, t, context)
  for frame in range(0, small.FRAMES, 3):
    assert small.differ(dense(params, clip, t.at[:, frame].add(0.1), context), base, 1e-4)


@pytest.mark.parametrize("bias", [-60.0, 0.0, 60.0])
def test_what_is_masked_influences_nothing(params, dense, bias):
  given = lean(params, bias)
  clip, t, context = small.inputs()
  frames = jnp.arange(small.FRAMES) >= 4
  for name in ("sight", "touch"):
    masked = context.replace(valid={name: jnp.broadcast_to(frames, (2, small.FRAMES))})
    out = dense(given, clip, t, masked)
    other = dense(given, {**clip, name: clip[name].at[:, :4].set(0.3)}, t, masked)
    for sense in out:
      np.testing.assert_array_equal(out[sense], other[sense])
    other = dense(given, {**clip, name: clip[name].at[:, 4:].add(0.3)}, t, masked)
    assert small.differ(out, other, 1e-4)


@pytest.mark.parametrize("bias", [-60.0, 0.0, 60.0])
def test_apart_each_sense_is_denoised_as_if_it_were_alone(params, dense, bias):
  given = lean(params, bias)
  clip, t, context = small.inputs()
  together = dense(given, clip, t, context)
  out = dense(given, clip, t, context.replace(independent_senses=jnp.array([True, False])))
  for name in clip:
    alone = dense(given, {name: clip[name]}, t, context.replace(independent_senses=jnp.array([True, True])))
    np.testing.assert_allclose(out[name][0], alone[name][0], atol=1e-5)
    np.testing.assert_allclose(out[name][1], together[name][1], atol=1e-5)
    assert np.abs(out[name][0] - together[name][0]).max() > 1e-4


def test_the_plots_of_a_trajectory_are_the_gates_met_on_it(params):
  clip, _, context = small.inputs()
  times = jnp.array([1.0, 0.8, 0.3, 0.0])
  got = plots(DENSE, params, context, times, small.FRAMES)
  assert got.shape == (2, 3, 2)
  for step in range(3):
    t = jnp.full((2, small.FRAMES), times[step])
    np.testing.assert_allclose(got[:, step], gates(params, clip, t, context), atol=1e-6)
  looped = small.model(forms="dense", turns=3)
  extended = small.params(looped)
  each = plots(looped, extended, context, times, small.FRAMES)
  assert each.shape == (2, 3, 6) and np.abs(each[..., :2] - each[..., 2:4]).max() > 1e-3
  # Without the embedding of its number every turn has the same gates.
  extended["params"]["turn"] = jax.tree.map(jnp.zeros_like, extended["params"]["turn"])
  each = plots(looped, extended, context, times, small.FRAMES)
  np.testing.assert_allclose(each, np.tile(got, 3), atol=1e-6)
  lines = table(["a red two", "ein blaues Übel"], got).splitlines()
  assert len(lines) == 2 + 2 * 2 and lines[2].startswith("| a red two | 0 |")
  assert lines[2].count("V") + lines[2].count("A") == 3
  assert [letter == "V" for letter in lines[5].split("|")[3].split()] == (got[1, :, 1] > 0.5).tolist()
  with pytest.raises(UserError, match="model.forms"):
    plots(small.model(), small.params(small.model()), context, times, small.FRAMES)


def test_words_that_are_none_are_named():
  with pytest.raises(UserError, match="did you mean 'dense'"):
    build_model({"forms": "dens"}, small.SENSES)
  with pytest.raises(UserError, match="model.merge needs"):
    build_model({"forms": "dense", "turns": 2, "merge": True}, small.SENSES)
