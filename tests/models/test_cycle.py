"""The cycle: turns, their random number and its gradients. Token merging and its invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.models.attention import proportional_attention
from stale_jax.models.build import build_model
from stale_jax.models.cycle import Cycle
from stale_jax.models.layers import time_features
from stale_jax.models.merging import merge_third
from tests.models import small

PLAIN, CYCLE = small.model(), small.model(turns=3)
MERGING = small.model(turns=1, merge=True)
SHALLOW = small.model(turns=2, depth=1)
NAMES = tuple(sense.name for sense in small.SENSES)


@pytest.fixture(scope="module")
def params():
  return small.params(CYCLE)


@pytest.fixture(scope="module")
def merging():
  return jax.jit(MERGING.apply)


def run(model, params, **kw):
  return jax.jit(lambda params, *given: model.apply(params, *given, **kw))(params, *small.inputs())


def of_the_cycle(name):
  return "inject" in name or name == "turn"


def without_it(params):
  def one(path, x):
    return x * (not of_the_cycle(path[1].key))

  return jax.tree_util.tree_map_with_path(one, params)


def test_one_turn_is_the_plain_trunk_but_for_what_makes_it_a_cycle(params):
  """The parameters of the cycle are additional; those of the blocks keep their names."""
  plain = {k: v for k, v in params["params"].items() if not of_the_cycle(k)}
  wanted = jax.eval_shape(PLAIN.init, jax.random.key(0), *small.inputs())["params"]
  assert jax.tree.map(np.shape, plain) == jax.tree.map(lambda x: x.shape, wanted)
  assert set(params["params"]) - set(plain) == {"turn", *(f"{name}_inject" for name in NAMES)}
  want, once = run(PLAIN, {"params": plain}), jax.jit(CYCLE.clone(turns=1).apply)
  small.close(once(without_it(params), *small.inputs()), want)
  assert small.differ(once(params, *small.inputs()), want, 1e-3)


def test_injection_and_number_start_at_zero():
  fresh = jax.jit(SHALLOW.init)(jax.random.key(0), *small.inputs())["params"]
  assert not any(np.any(x) for name in fresh if of_the_cycle(name) for x in jax.tree.leaves(fresh[name]))


@pytest.mark.parametrize("turns", [2, 3])
def test_turns_run_the_same_blocks_on_fresh_text_the_entry_state_and_their_number(monkeypatch, params, turns):
  """Compared with an explicit loop."""
  model = CYCLE.clone(turns=turns)
  got = run(model, params)

  def unrolled(self, own, lanes, streams, conditions, where, key, tells):
    entry, layers = streams, self.trunk.layers(own["blocks"])
    for number in range(turns):
      dense = params["params"]["turn"]["dense"]
      hint = time_features(jnp.float32(number / 8)) @ dense["kernel"] + dense["bias"]
      told, fed = {name: x + hint for name, x in conditions.items()}, {}
      for name, x in entry.items():
        fed[name] = x
        if name in NAMES:
          dense = params["params"][f"{name}_inject"]["dense"]
          fed[name] = streams[name] + x @ dense["kernel"] + dense["bias"]
      streams = fed
      for layer in layers:
        streams, _ = self.trunk.block(layer, lanes, streams, told, where, "")
    return streams, {}

  monkeypatch.setattr(Cycle, "__call__", unrolled)
  small.close(got, run(model, params), atol=1e-4)


def test_a_drawn_number_of_turns_has_that_number_s_loss_and_gradient():
  params, given = small.params(SHALLOW), small.inputs()

  def loss(params, model, **kw):
    return sum(jnp.mean(jnp.square(x)) for x in model.apply(params, *given, **kw).values())

  drawn = jax.jit(lambda params, key: jax.value_and_grad(loss)(params, SHALLOW, rngs={"perturb": key}))
  results = [drawn(params, jax.random.key(seed)) for seed in range(8)]
  values, seen = np.array([value for value, _ in results]), []
  for turns in (1, 2):
    fixed = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    value, grads = fixed(params, SHALLOW.clone(turns=turns))
    found = np.flatnonzero(np.isclose(values, value, rtol=1e-4))
    assert len(found), turns
    seen.extend(found)
    for a, b in zip(jax.tree.leaves(results[found[0]][1]), jax.tree.leaves(grads), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(b).max() + 1e-7)
  assert sorted(seen) == list(range(8))


def groups(tokens=7, width=5):
  rng = np.random.default_rng(0)
  x = rng.standard_normal((2, 3, tokens, width)).astype(np.float32)
  return x, rng.random((2, 3, tokens)).astype(np.float32), rng.random((2, 3, tokens)) < 0.8


@pytest.mark.parametrize("tokens", [2, 3, 7, 9])
def test_the_merged_third_is_the_least_attended_and_goes_to_the_most_similar(tokens):
  x, received, _ = groups(tokens)
  merge = merge_third(x, received, np.ones_like(received, bool))
  short = merge(x)
  assert short.shape == (2, 3, tokens - tokens // 3, 5)
  for at in np.ndindex(2, 3):
    order = sorted(range(tokens), key=lambda i: received[at][i])
    gone, kept = sorted(order[: tokens // 3]), sorted(order[tokens // 3 :])
    assert merge.kept[at].tolist() == kept and merge.merged[at].tolist() == gone
    unit = x[at] / np.linalg.norm(x[at], axis=-1, keepdims=True)
    homes = {i: max(kept, key=lambda j: unit[i] @ unit[j]) for i in gone}
    for place, j in enumerate(kept):
      members = [j, *(i for i in gone if homes[i] == j)]
      np.testing.assert_allclose(short[at][place], x[at][members].mean(0), atol=1e-6)
      assert merge.size[at][place] == len(members)
    # The mean over tokens, weighted by their sizes, does not change.
    np.testing.assert_allclose((merge.size[at] @ short[at]) / tokens, x[at].mean(0), atol=1e-6)


def test_restoring_gives_every_token_the_change_of_the_one_that_stood_for_it():
  x, received, real = groups()
  merge = merge_third(x, received, real)
  change = np.random.default_rng(1).standard_normal(merge(x).shape).astype(np.float32)
  out = merge.restore(x, merge(x) + change)
  for at in np.ndindex(2, 3):
    for place, j in enumerate(merge.kept[at]):
      np.testing.assert_allclose(out[at][j] - x[at][j], change[at][place], atol=1e-6)
    for i, row in zip(merge.merged[at], merge.into[at], strict=True):
      np.testing.assert_allclose(out[at][i] - x[at][i], change[at][np.argmax(row)], atol=1e-6)


def test_equal_tokens_are_merged_and_restored_exactly():
  _, received, real = groups()
  x = np.broadcast_to(np.random.default_rng(1).standard_normal((2, 3, 1, 5)).astype(np.float32), (2, 3, 7, 5))
  merge = merge_third(x, received, real)
  np.testing.assert_array_equal(merge(x), x[:, :, :5])
  np.testing.assert_array_equal(merge.restore(x, merge(x)), x)
  np.testing.assert_array_equal(merge.restore(x, merge(x) + 1), x + 1)


def test_what_is_not_real_goes_first_and_weighs_nothing():
  x, received, real = groups(9)
  merge = merge_third(x, received, real)
  other = np.where(real[..., None], x, -x)
  for at in np.ndindex(2, 3):
    assert real[at].sum() >= 6 and not np.isin(np.flatnonzero(~real[at]), merge.kept[at]).any()
    members = merge.size[at]
    assert members.sum() == real[at].sum()
  np.testing.assert_array_equal(merge(x), merge(other))


def test_attention_to_merged_tokens_is_attention_to_all_they_stand_for():
  rng = np.random.default_rng(0)
  q, k, v = rng.standard_normal((3, 2, 5, 2, 6)).astype(np.float32)
  size = rng.integers(0, 4, (2, 5))
  size[:, 0] = 2
  mask = rng.random((2, 5, 5)) < 0.7
  mask[..., 0] = True
  got, p = proportional_attention(q, k, v, mask, size.astype(np.float32))
  np.testing.assert_allclose(p.sum(-1), 1, atol=1e-6)
  for b in range(2):
    many = np.repeat(np.arange(5), size[b])
    want = jax.nn.dot_product_attention(
      q[b : b + 1], k[b : b + 1, many], v[b : b + 1, many], mask=mask[b][None, None][..., many]
    )
    np.testing.assert_allclose(got[b], want[0], atol=1e-5)


def test_merging_changes_the_answer_and_costs_less(params, merging):
  given = small.inputs()
  once, cheap = (jax.jit(m.apply).lower(params, *given).compile() for m in (CYCLE.clone(turns=1), MERGING))
  a, b = once(params, *given), cheap(params, *given)
  assert small.differ(a, b, 1e-3)
  # The second of the two blocks has a third fewer tokens of sight.
  assert cheap.cost_analysis()["flops"] < 0.93 * once.cost_analysis()["flops"]


def test_merging_respects_masks(params, merging):
  clip, t, context = small.inputs()
  frames = jnp.broadcast_to(jnp.arange(small.FRAMES) >= 4, (2, small.FRAMES))
  for name in NAMES:
    masked = context.replace(valid={name: frames})
    out = merging(params, clip, t, masked)
    other = merging(params, {**clip, name: clip[name].at[:, :4].set(0.3)}, t, masked)
    for sense in out:
      np.testing.assert_array_equal(out[sense], other[sense])
  together = merging(params, clip, t, context)
  out = merging(params, clip, t, context.replace(independent_senses=jnp.array([True, False])))
  everyone = context.replace(independent_senses=jnp.array([True, True]))
  alone = merging(params, {"sight": clip["sight"]}, t, everyone)
  np.testing.assert_allclose(out["sight"][0], alone["sight"][0], atol=1e-5)
  small.close({name: x[1] for name, x in out.items()}, {name: x[1] for name, x in together.items()})


def test_impossible_turns_are_named():
  with pytest.raises(UserError, match="turns=-1"):
    build_model({"turns": -1}, small.SENSES)
  for section in ({"merge": True}, {"merge": True, "turns": 1, "depth": 1}):
    with pytest.raises(UserError, match="model.merge needs"):
      build_model(section, small.SENSES)
