"""Attention over sharded tokens equals dense attention in float64, with gradients, on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from stale_jax.errors import UserError
from stale_jax.models.context_parallel import ring, ulysses
from stale_jax.models.exact_attention import dense
from stale_jax.models.visibility import EMOJI, TEXT, Rule, Tokens
from tests.devices import on_devices

RULES = {
  "full": Rule(),
  "causal": Rule(causal=True),
  "window": Rule(window=2),
  "causal window with sinks": Rule(causal=True, window=2, sinks=1),
}
# Eight text tokens, six frames of eight places, seven tokens of sound, the emoji: 64 tokens on 8 devices.
FRAMES, PLACES, TEXT_BYTES, SOUND = 6, 8, 8, 7


def tokens():
  """Tokens of two examples: one with a short caption; one with missing frames and independent senses."""
  places = [(1, frame) for frame in range(FRAMES) for _ in range(PLACES)]
  sound = [(2, frame % FRAMES) for frame in range(SOUND)]
  each = [(TEXT, -1)] * TEXT_BYTES + places + sound + [(EMOJI, -1)]
  stream, frame = (np.broadcast_to(x, (2, len(each))) for x in np.array(each).T)
  real, independent_senses = np.ones((2, len(each)), bool), np.zeros((2, len(each)), bool)
  real[0, 5:TEXT_BYTES] = False
  real[1, 40:50] = False
  independent_senses[1] = True
  return Tokens(real=real, stream=stream, frame=frame, independent_senses=independent_senses)


def sees(rule, a, b):
  """The rule for one pair of tokens, written as plain conditions."""
  (_, of, now, independent), (real, to, then, _) = a, b
  if not real:
    return False
  if of == EMOJI:
    if to == TEXT:
      return False
  elif to == EMOJI or (independent and to not in (of, TEXT)):
    return False
  if rule.causal and then > now and of != EMOJI:
    return False
  if rule.window and now >= 0 and then >= rule.sinks and abs(now - then) >= rule.window:
    return False
  return True


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_what_it_says_of_every_pair(name):
  of = tokens()
  for example in range(2):
    each = list(
      zip(
        *(getattr(of, f)[example] for f in ("real", "stream", "frame", "independent_senses")),
        strict=True,
      )
    )
    want = np.array([[sees(RULES[name], a, b) for b in each] for a in each])
    np.testing.assert_array_equal(RULES[name](of, of)[example], want)
    assert want.any(-1)[:-1].all() and not want.all()


def arrays():
  rng = np.random.default_rng(0)
  shape = (2, TEXT_BYTES + FRAMES * PLACES + SOUND + 1, 4, 8)
  return [rng.standard_normal(shape) for _ in range(4)]


def reference(rule, q, k, v, weight):
  """The output, and the gradients of its inner product with `weight`, in float64."""

  def attend(q, k, v):
    logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1])
    p = jax.nn.softmax(jnp.where(rule(tokens(), tokens())[:, None], logits, -jnp.inf), -1)
    return jnp.einsum("bhqk,bkhd->bqhd", p, v)

  with jax.enable_x64(True):
    out, pull = jax.vjp(attend, *map(jnp.asarray, (q, k, v)))
    return jax.device_get((out, *pull(jnp.asarray(weight))))


SCHEMES = {
  "ring of 8": (8, 1),
  "ring of 2": (2, 1),
  "all-to-all of 4": (1, 4),
  "2 x 4": (2, 4),
  "4 x 2": (4, 2),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@on_devices(8)
def test_it_is_the_dense_one(scheme):
  size_ring, size_ulysses = SCHEMES[scheme]
  devices = np.array(jax.devices()[: size_ring * size_ulysses]).reshape(size_ring, size_ulysses)
  mesh, cut = jax.sharding.Mesh(devices, ("ring", "heads")), P(None, ("ring", "heads"))
  *given, weight = arrays()
  for dtype, atol in ((np.float64, 1e-12), (np.float32, 1e-5)):
    with jax.enable_x64(dtype == np.float64):
      for name, rule in RULES.items():
        attention = ulysses(ring(dense(rule), "ring"), "heads")

        def attend(q, k, v, of, attention=attention):
          return attention(q, k, v, of, of)[0]

        spread = jax.shard_map(attend, mesh=mesh, in_specs=(cut, cut, cut, cut), out_specs=cut)

        @jax.jit
        def run(q, k, v, weight, spread=spread):
          out, pull = jax.vjp(lambda q, k, v: spread(q, k, v, tokens()), q, k, v)
          return out, *pull(weight)

        got = run(*(x.astype(dtype) for x in (*given, weight)))
        for a, b in zip(got, reference(rule, *given, weight), strict=True):
          assert a.dtype == dtype
          np.testing.assert_allclose(a, b, atol=atol * max(1, np.abs(b).max()), err_msg=f"{name} {dtype}")


def test_who_sees_nobody_answers_zero_and_has_no_gradient():
  q, k, v, weight = (jnp.asarray(x, jnp.float32) for x in arrays())
  of = tokens().replace(real=np.zeros((2, q.shape[1]), bool))
  out, pull = jax.vjp(lambda *x: dense(Rule())(*x, of, of)[0], q, k, v)
  assert not np.any(out) and not any(np.any(x) for x in pull(weight))


@pytest.mark.parametrize(
  ("fields", "words"),
  [({"window": -1}, "window=-1"), ({"sinks": 2}, "for a window")],
)
def test_impossible_rules_are_named(fields, words):
  with pytest.raises(UserError, match=words):
    Rule(**fields)
