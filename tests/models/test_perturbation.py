"""Perturbations inside the network: their size and their targets; sampling has none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax import text
from stale_jax.clip import Context
from stale_jax.data import Digits
from stale_jax.models import Transformer
from stale_jax.models.perturbation import concrete, drop_tokens, embedding_noise
from stale_jax.testing.models import moved
from tests.models import small

SOURCE = Digits(canvas=12, frames=8)
SENSES = tuple(SOURCE.senses[name] for name in ("sight", "touch"))
SIZES = {"width": 32, "side_width": 16, "text_width": 16, "condition_width": 16, "depth": 2, "heads": 2}


@pytest.fixture(scope="module")
def inputs():
  rng = np.random.default_rng(0)
  clip = {s.name: jnp.asarray(rng.uniform(-1, 1, (2, 8, *s.shape)), jnp.float32) for s in SENSES}
  context = Context(text=jnp.asarray(text.tokenize(["a red two", "a blue six"], 24)))
  return clip, jnp.asarray(rng.uniform(0, 1, (2, 8)), jnp.float32), context


def network(**perturbed):
  return Transformer(senses=SENSES, text_length=24, **SIZES, **perturbed)


@pytest.fixture(scope="module")
def params(inputs):
  return moved(jax.jit(network().init)(jax.random.key(0), *inputs))


def rngs(seed):
  return {"perturb": jax.random.key(seed)}


@pytest.mark.parametrize("width", [32, 128])
@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_the_embedding_s_noise_has_norm_gamma_whatever_the_width(width, gamma):
  e = jnp.ones((400, 6, width))
  noise = np.asarray(embedding_noise(jax.random.key(0), e, gamma) - e, np.float64)
  squares = np.square(noise).sum(-1)
  assert squares.mean() / gamma**2 == pytest.approx(1, abs=0.03)
  # Independent between tokens, in random directions.
  assert np.abs(noise.mean((0, 1))).max() < 5 * gamma / np.sqrt(width * 2400)
  assert squares.std() == pytest.approx(gamma**2 * np.sqrt(2 / width), rel=0.1)
  np.testing.assert_array_equal(embedding_noise(None, e, gamma), e)


@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.0])
def test_gates_are_thrown_to_either_side_as_often_as_their_logit_says(logit):
  given = jnp.full((20000,), logit)
  thrown = np.asarray(concrete(jax.random.key(0), given))
  # log(u / (1 - u)) > c for a share sigmoid(-c) of the draws.
  for gate in (0.1, 0.5, 0.9):
    share = 1 / (1 + np.exp(2 / 3 * np.log(gate / (1 - gate)) - logit))
    assert (thrown > np.log(gate / (1 - gate))).mean() == pytest.approx(share, abs=4 * 0.5 / 20000**0.5)
  np.testing.assert_array_equal(concrete(None, given), given)


def test_tokens_are_dropped_as_often_as_said_and_only_real_ones_were_there():
  real = jnp.asarray(np.random.default_rng(0).random((500, 40)) < 0.7)
  seen = drop_tokens(jax.random.key(0), real, 0.3)
  assert not np.any(seen & ~real)
  assert (seen.sum() / real.sum()).item() == pytest.approx(0.7, abs=0.02)
  assert np.var(np.asarray(seen.sum(1) / real.sum(1))) > 1e-3  # Independent between examples.
  np.testing.assert_array_equal(drop_tokens(None, real, 0.3), real)
  np.testing.assert_array_equal(drop_tokens(jax.random.key(0), real, 0.0), real)


def test_off_or_sampling_is_the_network_itself_to_the_bit(inputs, params):
  base = small.apply(network(), params, *inputs)
  perturbed = network(token_drop=0.5, text_noise=1.0)
  assert jax.tree.structure(jax.eval_shape(perturbed.init, jax.random.key(0), *inputs)) == jax.tree.structure(
    params
  )
  for out in (small.apply(perturbed, params, *inputs), small.apply(network(), params, *inputs, rngs=rngs(0))):
    for name in base:
      np.testing.assert_array_equal(out[name], base[name])


def test_a_dropped_token_is_seen_by_no_other_and_sees_the_others(inputs, params):
  clip, t, context = inputs
  # If all tokens are dropped, each sees only the caption: senses do not affect one another.
  blind = network(token_drop=1.0)
  base = small.apply(blind, params, clip, t, context, rngs=rngs(0))
  other = small.apply(blind, params, {**clip, "touch": -clip["touch"]}, t, context, rngs=rngs(0))
  np.testing.assert_array_equal(other["sight"], base["sight"])
  # A dropped token keeps its content: it is masked, not zeroed.
  assert np.abs(other["touch"] - base["touch"]).min() > 1e-6
  corner = clip["sight"].at[:, :4, :4, :4].add(0.5)
  moved = small.apply(blind, params, {**clip, "sight": corner}, t, context, rngs=rngs(0))
  changed = np.abs(moved["sight"] - base["sight"]).max((0, 4)) > 0
  assert changed[:4, :4, :4].all() and changed.sum() == 64
  # It still sees the caption.
  words = Context(text=jnp.asarray(text.tokenize(["a red six", "x"], 24)))
  assert (
    np.abs(small.apply(blind, params, clip, t, words, rngs=rngs(0))["sight"] - base["sight"]).min() > 1e-7
  )
  # At rate 0.5 the output differs from that at 1, depends on the key, and is reproducible.
  half = network(token_drop=0.5)
  a, b, again = (small.apply(half, params, *inputs, rngs=rngs(seed))["sight"] for seed in (0, 1, 0))
  assert np.abs(a - b).max() > 1e-3 and np.abs(a - base["sight"]).max() > 1e-3
  np.testing.assert_array_equal(a, again)


def test_noise_on_the_caption_reaches_every_sense_and_swamps_it_when_huge(inputs, params):
  clip, t, context = inputs
  words = Context(text=jnp.asarray(text.tokenize(["a red six", "a blue two"], 24)))

  def distance(gamma):
    model = network(text_noise=gamma)
    one, two = (small.apply(model, params, clip, t, context, rngs=rngs(seed)) for seed in (0, 1))
    for name in one:
      assert np.abs(one[name] - two[name]).max() > 1e-5, name
    # Effect of the caption (with equal noise) divided by the effect of the noise.
    said = small.apply(model, params, clip, t, words, rngs=rngs(0))["sight"]
    return np.linalg.norm(said - one["sight"]) / np.linalg.norm(two["sight"] - one["sight"])

  little, huge = distance(0.1), distance(3 * np.sqrt(SIZES["text_width"]))
  assert little > 1.5 and huge < 0.75 and huge < little / 4, (little, huge)
