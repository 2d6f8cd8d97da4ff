"""Learning rates against their formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.models.parameters import Parameter
from stale_jax.training.optimizer import AdamW, Muon
from stale_jax.training.schedules import arctangent, warmed_up
from tests import micro

STEPS, WARMUP, PEAK = 200, 20, 0.02


def values(schedule, steps=STEPS):
  return np.array([schedule(step) for step in range(steps + 1)], np.float64)


def test_arctangent_is_its_formula():
  got = values(warmed_up("arctangent", PEAK, WARMUP, STEPS))
  u = (np.arange(STEPS + 1) - WARMUP) / (STEPS - WARMUP)
  want = PEAK * (np.arctan(5 * (1 - 2 * u)) / np.arctan(5) + 1) / 2
  want[:WARMUP] = PEAK * np.arange(WARMUP) / WARMUP
  np.testing.assert_allclose(got, want, atol=1e-6 * PEAK)
  assert got[0] == 0 and got[WARMUP] == np.float32(PEAK) and got[STEPS] == 0
  assert (np.diff(got[: WARMUP + 1]) > 0).all() and (np.diff(got[WARMUP:]) < 0).all()
  # The step alone decides, so that a resumed run goes on along it; beyond the end it is 0.
  steps = jnp.arange(STEPS + 1)[::-1]
  np.testing.assert_allclose(
    jax.jit(jax.vmap(warmed_up("arctangent", PEAK, WARMUP, STEPS)))(steps)[::-1], got, atol=1e-8
  )
  assert float(warmed_up("arctangent", PEAK, WARMUP, STEPS)(10 * STEPS)) == 0


def test_arctangent_lies_between_a_line_and_a_step_and_is_what_its_docstring_says():
  line, step = values(arctangent(1.0, 100, 1e-2), 100), values(arctangent(1.0, 100, 1e4), 100)
  np.testing.assert_allclose(line, 1 - np.arange(101) / 100, atol=1e-4)
  np.testing.assert_allclose(np.delete(step, 50), np.repeat([1.0, 0.0], 50), atol=1e-2)
  np.testing.assert_allclose(values(arctangent(1.0, 4), 4)[1:4], [0.93, 0.5, 0.07], atol=5e-3)
  cosine = values(optax.cosine_decay_schedule(1.0, 10000), 10000)
  near = values(arctangent(1.0, 10000, 1.58), 10000)
  assert np.diff(near)[5000] == pytest.approx(np.diff(cosine)[5000], rel=0.01)


@pytest.mark.parametrize(("warmup", "steps"), [(20, 200), (200, 40), (0, 7), (5, 1)])
def test_cosine_is_what_it_was_and_constant_stays(warmup, steps):
  before = optax.warmup_cosine_decay_schedule(0.0, PEAK, min(warmup, steps // 2), steps)
  np.testing.assert_array_equal(
    values(warmed_up("cosine", PEAK, warmup, steps), steps), values(before, steps)
  )
  constant = values(warmed_up("constant", PEAK, warmup, steps), steps)
  ramp = min(warmup, steps // 2)
  np.testing.assert_array_equal(constant[ramp:], np.float32(PEAK))
  np.testing.assert_array_equal(
    constant[:ramp], values(warmed_up("arctangent", PEAK, warmup, steps), steps)[:ramp]
  )


def sizes(kind, name):
  """Of the updates of ten steps of one constant gradient."""
  options = {"learning_rate": 1e-3, "warmup": 2, "weight_decay": 0.0, "clip": 1e9}
  params = {"up": jnp.eye(3), "bias": jnp.zeros(3)}
  declared = {"up": Parameter(shape=(3, 3), orthogonal=True), "bias": Parameter(shape=(3,))}
  optimizer = kind(schedule=name, **options).build(10, declared)
  grads = jax.tree.map(lambda x: x + 0.5, params)

  def body(state, _):
    updates, state = optimizer.update(grads, state, params)
    return state, jnp.stack([jnp.abs(u).max() for u in jax.tree.leaves(updates)])

  return jax.lax.scan(body, optimizer.init(params), length=10)[1]


@pytest.mark.parametrize("kind", [AdamW, Muon])
def test_every_parameter_s_update_follows_the_schedule(kind):
  constant = sizes(kind, "constant")
  assert (constant[1:] > 0).all()
  for name in ("cosine", "arctangent"):
    rates = values(warmed_up(name, 1.0, 2, 10), 9) / np.maximum(
      values(warmed_up("constant", 1.0, 2, 10), 9), 1e-9
    )
    np.testing.assert_allclose(sizes(kind, name), constant * rates[:, None], rtol=1e-5)


def test_the_config_chooses_it():
  assert build(micro.config()).training.optimizer.schedule == "cosine"
  assert build(micro.config(optimizer__schedule="arctangent")).training.optimizer.schedule == "arctangent"
  with pytest.raises(UserError, match="did you mean 'arctangent'"):
    build(micro.config(optimizer__schedule="arctan"))
