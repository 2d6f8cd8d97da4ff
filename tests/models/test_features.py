"""Features are the residual stream after each block, by comparison with shorter networks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.models.features import features
from tests.models import small

MODEL = small.model(depth=3)


def read(model, params, drop: bool = False):
  clip, t, context = small.inputs()
  context = context.drop_condition(jnp.ones(len(t), bool)) if drop else context
  return jax.jit(lambda params: features(model, params, clip, t, context))(params)


@pytest.fixture(scope="module")
def params():
  return small.params(MODEL)


def test_each_is_the_last_of_a_network_that_ends_there(params):
  every = read(MODEL, params)
  assert every["sight"].shape == (3, small.BATCH, 4, 9, 32) and every["touch"].shape == (
    3,
    small.BATCH,
    4,
    1,
    16,
  )
  for end in (0, 1):
    shorter = read(dataclasses.replace(MODEL, skip=tuple(range(end + 1, 3))), params)
    for name, x in shorter.items():
      assert len(x) == end + 1
      np.testing.assert_allclose(x[end], every[name][end], atol=1e-5)
  # No two blocks have the same tokens.
  assert all(np.abs(x[1:] - x[:-1]).max((1, 2, 3, 4)).min() > 1e-2 for x in every.values())


def test_the_output_is_the_same_when_features_are_read(params):
  clip, t, context = small.inputs()
  plain = MODEL.apply(params, clip, t, context)
  small.close(MODEL.apply(params, clip, t, context, mutable=["features"])[0], plain, 1e-6)


def test_a_scanned_trunk_has_the_same(params):
  small.close(read(dataclasses.replace(MODEL, scan=True), params), read(MODEL, params))


def test_turns_add_their_blocks():
  twice = small.model(depth=2, turns=2)
  params = small.params(twice)
  one, two = read(dataclasses.replace(twice, turns=1), params), read(twice, params)
  for name, x in two.items():
    assert len(x) == 4 and len(one[name]) == 2
    np.testing.assert_allclose(x[:2], one[name], atol=1e-5)
    assert np.abs(x[2:] - x[:2]).max() > 1e-2


def test_the_dropped_condition_hides_caption_and_other_senses(params):
  clip, t, context = small.inputs()
  drop = jnp.ones(len(t), bool)
  other = context.replace(text=context.text[::-1])
  moved = {**clip, "touch": -clip["touch"]}
  run = jax.jit(lambda clip, context: features(MODEL, params, clip, t, context)["sight"])
  plain = run(clip, context.drop_condition(drop))
  np.testing.assert_array_equal(run(moved, other.drop_condition(drop)), plain)
  for changed in (run(clip, other), run(moved, context)):
    assert np.abs(changed - run(clip, context)).max() > 1e-3


def test_merged_tokens_are_refused():
  model = small.model(merge=True)
  with pytest.raises(UserError, match=r"model.merge .* no features"):
    features(model, small.params(model), *small.inputs())
