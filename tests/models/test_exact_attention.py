"""Blocked attention equals dense attention in float64, forward and backward, and holds no pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.models.exact_attention import blocked, dense, exact
from stale_jax.models.visibility import EMOJI, TEXT, Rule, Tokens
from stale_jax.testing.programs import largest_intermediate

RULES = {
  "full": Rule(),
  "causal": Rule(causal=True),
  "causal window with sinks": Rule(causal=True, window=2, sinks=1),
}
TEXT_BYTES, FRAMES, PLACES, SOUND = 20, 9, 120, 64
COUNT = TEXT_BYTES + FRAMES * PLACES + SOUND + 1  # Three blocks, the last of which is not full.


def tokens():
  """Two examples: one without its last frames and sound; one with independent senses and dropped tokens."""
  each = [(TEXT, -1)] * TEXT_BYTES + [(1, i // PLACES) for i in range(FRAMES * PLACES)]
  each += [(2, i % FRAMES) for i in range(SOUND)] + [(EMOJI, -1)]
  stream, frame = (np.broadcast_to(x, (2, COUNT)) for x in np.array(each).T)
  real = np.ones((2, COUNT), bool)
  real[0, 7:TEXT_BYTES] = False
  real[0] &= (frame[0] < 5) & (stream[0] != 2)
  real[1] &= np.random.default_rng(3).random(COUNT) > 0.2
  return Tokens(
    real=real, stream=stream, frame=frame, independent_senses=np.array([[False], [True]]) | (stream > 9)
  )


def pulled(attention, of_q, of_k, q, k, v, weight, weight_of_normaliser):
  """Output and log normaliser, and the gradients of their inner products with the weights."""
  out, pull = jax.vjp(lambda *x: attention(*x, of_q, of_k), q, k, v)
  return *out, *pull((weight, weight_of_normaliser))


def given(to, count=COUNT, width=8):
  rng = np.random.default_rng(0)
  sizes = [(2, to, 2, width), (2, count, 2, width), (2, count, 2, width), (2, to, 2, width), (2, to, 2)]
  return [rng.standard_normal(size) for size in sizes]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", RULES)
def test_in_blocks_it_is_the_dense_one(name, dtype):
  of_k, last = tokens(), slice(COUNT - 300, COUNT)
  of_q = jax.tree.map(lambda x: x[:, last], of_k)  # Fewer queries than keys, as with a cache.
  with jax.enable_x64(True):
    for queries in (of_k, of_q):
      arrays = given(queries.real.shape[1])
      want = pulled(dense(RULES[name]), queries, of_k, *map(jnp.asarray, arrays))
      with jax.enable_x64(dtype == np.float64):
        ours = [jnp.asarray(x, dtype) for x in arrays[:4]]
        weight = jnp.asarray(arrays[4], np.float64 if dtype == np.float64 else np.float32)
        got = jax.jit(pulled, static_argnums=0)(blocked(RULES[name]), queries, of_k, *ours, weight)
      atol = {np.float64: 1e-12, np.float32: 2e-5, jnp.bfloat16: 0.05}[dtype]
      for a, b in zip(got, want, strict=True):
        a, b = (np.where(np.asarray(x, np.float64) < -1e29, 0, np.asarray(x, np.float64)) for x in (a, b))
        np.testing.assert_allclose(a, b, atol=atol * max(1, np.abs(b).max()))


def test_queries_with_no_visible_key_return_zero_and_have_no_gradient():
  of = tokens().replace(real=np.zeros((2, COUNT), bool))
  *arrays, weight = given(COUNT)
  out, _, *grads = pulled(blocked(Rule()), of, of, *map(jnp.float32, arrays), jnp.zeros_like(weight))
  assert not np.any(out) and not any(np.any(grad) for grad in grads)


def test_above_its_limit_attention_holds_no_pairs():
  count = 5000
  of = jax.tree.map(lambda x: np.resize(x, (2, count)), tokens())
  arrays = [jax.ShapeDtypeStruct((2, count, 2, 8), jnp.float32)] * 4
  normaliser = jax.ShapeDtypeStruct((2, count, 2), jnp.float32)

  def size(attention):
    return largest_intermediate(jax.make_jaxpr(lambda *x: pulled(attention, of, of, *x))(*arrays, normaliser))

  assert size(exact(Rule())) <= 2 * 2 * 512 * 512 < size(dense(Rule())) / 20


@pytest.mark.parametrize("remat", [False, True])
def test_a_scan_over_layers_holds_no_pairs_either(remat):
  """JAX moves what is equal in all iterations out of a scan, such as the masks of all pairs of blocks."""
  count = 5000
  of = jax.tree.map(lambda x: np.resize(x, (2, count)), tokens())

  def loss(x, weights):
    def layer(x, weight):
      return exact(Rule())(x * weight, x, x, of, of)[0], None

    return jnp.sum(jax.lax.scan(jax.checkpoint(layer) if remat else layer, x, weights)[0])

  x = jax.ShapeDtypeStruct((2, count, 2, 8), jnp.float32)
  program = jax.make_jaxpr(jax.grad(loss, argnums=1))(x, jax.ShapeDtypeStruct((3,), jnp.float32))
  assert largest_intermediate(program) <= 2 * 2 * 512 * 512
