"""Operations: by hand, and as the compiler counts them."""

import jax
import jax.numpy as jnp
import pytest

from stale_jax.clip import Context
from stale_jax.config import build
from stale_jax.flops import count
from stale_jax.training.initial import init_params
from tests import micro


def shape(*sizes):
  return jax.ShapeDtypeStruct(sizes, jnp.float32)


def product(a, b):
  return a @ b


def test_by_hand():
  a, b = shape(3, 5), shape(5, 7)
  assert count(product, a, b) == 2 * 3 * 5 * 7
  assert (
    count(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), shape(4, 3, 5), shape(4, 5, 7)) == 4 * 2 * 3 * 5 * 7
  )
  # A gradient of a sum of squares: the product, and one for each operand.
  assert count(jax.grad(lambda a, b: jnp.sum((a @ b) ** 2), (0, 1)), a, b) == 3 * 2 * 3 * 5 * 7
  # Two inputs, five outputs, a kernel of 7, "same" padding.
  assert (
    count(lambda x, k: jax.lax.conv(x, k, (1,), "SAME"), shape(2, 3, 11), shape(5, 3, 7))
    == 2 * 2 * 11 * 5 * 3 * 7
  )


def test_loops_count_as_often_as_they_run_and_choices_as_the_dearest():
  x, w, deep = shape(4, 8), shape(8, 8), shape(6, 8, 8)
  one = 2 * 4 * 8 * 8

  def scanned(x, ws):
    return jax.lax.scan(lambda x, w: (x @ w, None), x, ws)[0]

  def nested(x, ws):
    return jax.lax.scan(lambda x, _: (scanned(x, ws), None), x, length=3)[0]

  assert count(scanned, x, deep) == 6 * one
  assert count(nested, x, deep) == 18 * one
  assert count(jax.grad(lambda x, ws: jnp.sum(scanned(x, ws)), 1), x, deep) == 3 * 6 * one - one * 0

  def either(p, x, w):
    return jax.lax.cond(p, lambda: x @ w @ w, lambda: x @ w)

  assert count(either, jax.ShapeDtypeStruct((), bool), x, w) == 2 * one
  assert count(jax.jit(jax.vmap(product, (0, None))), shape(5, 4, 8), w) == 5 * one


def test_what_is_computed_again_counts_again():
  def loss(x, w1, w2):
    return jnp.sum(jnp.sin(jnp.sin(x @ w1) @ w2))

  args = shape(4, 8), shape(8, 8), shape(8, 8)
  plain = count(jax.grad(loss, (0, 1, 2)), *args)
  again = count(jax.grad(jax.checkpoint(loss), (0, 1, 2)), *args)
  assert plain == 6 * 2 * 4 * 8 * 8
  assert again == 8 * 2 * 4 * 8 * 8


@pytest.mark.parametrize("width", [256])
def test_the_compiler_counts_the_same_of_an_unrolled_model(width):
  config = micro.config(model__width=width, model__depth=2, source__canvas=16, senses=("sight",))
  config["objective"] = {"name": "denoising"}
  experiment = build(config)
  model = experiment.network
  params = jax.eval_shape(lambda: init_params(experiment, jax.random.key(0)))
  batch, frames = 8, experiment.data.source.frames
  clip = {s.name: shape(batch, frames, *s.shape) for s in experiment.data.senses}
  context = Context(text=jax.ShapeDtypeStruct((batch, model.text_length), jnp.int32))
  args = params, clip, shape(batch, frames), context
  found = jax.jit(model.apply).lower(*args).cost_analysis()["flops"]
  assert count(model.apply, *args) == pytest.approx(found, rel=0.02)
