"""The trunk: scan and rematerialisation do not change results."""

import chex
import jax
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.models.build import build_model
from tests.models import small

PLAIN = small.model(depth=3)


def answers(model, params):
  """The outputs of the model, and the gradient of a weighted sum of them."""
  clip, t, context = small.inputs()
  weight = {name: np.random.default_rng(1).standard_normal(x.shape) for name, x in clip.items()}

  @jax.jit
  def run(params):
    def loss(params):
      out = model.apply(params, clip, t, context)
      return sum((weight[name] * out[name]).sum() for name in out), out

    return jax.grad(loss, has_aux=True)(params)

  grads, out = run(params)
  return out, grads


@pytest.fixture(scope="module")
def params():
  return small.params(PLAIN)


@pytest.fixture(scope="module")
def plain(params):
  return answers(PLAIN, params)


@pytest.mark.parametrize(
  "fields", [{"scan": True}, {"remat": "dots"}, {"remat": "full"}, {"scan": True, "remat": "full"}]
)
def test_it_is_the_plain_trunk(params, plain, fields):
  model = small.model(depth=3, **fields)
  # The parameters have the same names and values.
  drawn = jax.tree.map(np.asarray, model.init(jax.random.key(0), *small.inputs()))
  chex.assert_trees_all_equal(drawn, PLAIN.init(jax.random.key(0), *small.inputs()))
  for got, want in zip(answers(model, params), plain, strict=True):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5 * max(1, np.abs(b).max())), got, want
    )


def test_a_scan_is_one_program_of_a_block():
  def lines(**fields):
    model = small.model(**fields)
    return len(jax.jit(model.apply).lower(small.params(model), *small.inputs()).as_text().splitlines())

  assert lines(depth=8) - lines(depth=4) > 4 * (lines(depth=8, scan=True) - lines(depth=4, scan=True))
  # On the CPU the default is to unroll.
  assert lines(depth=4) == lines(depth=4, scan=False)


def test_computing_again_saves_memory():
  def kept(remat):
    model = small.model(depth=8, remat=remat)
    clip, t, context = small.inputs()
    params = small.params(model)
    _, pull = jax.eval_shape(lambda p: jax.vjp(lambda p: model.apply(p, clip, t, context), p), params)
    return sum(np.prod(x.shape) for x in jax.tree.leaves(pull))

  sizes = [kept(name) for name in ("none", "dots", "full")]
  assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]


@pytest.mark.parametrize(
  ("section", "words"),
  [
    ({"attention": "flash"}, "unknown model.attention 'flash'"),
    ({"remat": "ful"}, "did you mean 'full'"),
    ({"scan": True, "turns": 2}, "leave model.turns or model.scan out"),
  ],
)
def test_what_is_not_there_is_named(section, words):
  with pytest.raises(UserError, match=words):
    build_model(section, small.SENSES)
