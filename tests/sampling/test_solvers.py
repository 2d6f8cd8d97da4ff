"""Solvers and guidance against closed forms and against themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax import text
from stale_jax.clip import Context
from stale_jax.data import Digits
from stale_jax.errors import UserError
from stale_jax.processes import GaussianFlow, Reflected, UniformFlow, grid
from stale_jax.sampling import SOLVERS, classifier_free, prior, solve

SENSES = tuple(Digits(canvas=12, frames=4).senses[name] for name in ("sight", "touch"))
PROCESSES = [Reflected(), UniformFlow(), GaussianFlow()]
PAIRS = [(p, s) for p in PROCESSES for s in SOLVERS if SOLVERS[s].fits(p)]


def context(batch):
  return Context(text=jnp.asarray(text.tokenize(["one two"] * batch, 16)))


def wild(clip, t, context):
  """A network that answers anything, depending on all its inputs example by example."""
  shift = jnp.sum(context.text, -1)
  if context.independent_senses is not None:
    shift += 5 * context.independent_senses

  def answer(x):
    return 3 * jnp.sin(7 * x + jnp.reshape(shift, (-1, *(1,) * (x.ndim - 1))))

  return {name: answer(x) for name, x in clip.items()}


def times(steps, batch, frames=4):
  return jnp.broadcast_to(grid(steps, 3.0)[:, None, None], (steps + 1, batch, frames))


def run(process, solver, keys, steps=5, denoiser=wild):
  x = prior(process, SENSES, 4, keys)
  return solve(process, denoiser, x, times(steps, len(keys)), context(len(keys)), keys, solver)


@pytest.mark.parametrize(("process", "solver"), PAIRS)
def test_an_example_does_not_depend_on_its_batch(process, solver):
  keys = jax.vmap(jax.random.key)(jnp.arange(5))
  together = run(process, solver, keys)
  alone = run(process, solver, keys[3:4])
  for name in together:
    np.testing.assert_allclose(together[name][3:4], alone[name], atol=1e-5)
    assert np.abs(together[name][2] - together[name][3]).max() > 0.1


@pytest.mark.parametrize(("process", "solver"), [pair for pair in PAIRS if pair[0] in PROCESSES[:2]])
@pytest.mark.parametrize("steps", [1, 4, 64])
def test_guided_noise_stays_finite_and_in_the_box(process, solver, steps):
  keys = jax.vmap(jax.random.key)(jnp.arange(2))
  for scale in (5.0, 10.0):
    clip = run(process, solver, keys, steps, classifier_free(wild, scale))
    for x in clip.values():
      assert np.isfinite(x).all() and np.abs(x).max() <= 1 + 1e-6


@pytest.mark.parametrize(("process", "solver"), PAIRS)
def test_frames_whose_time_does_not_fall_are_untouched(process, solver):
  keys = jax.vmap(jax.random.key)(jnp.arange(2))
  x = prior(process, SENSES, 4, keys)
  x = {name: v.at[:, :2].set(jnp.clip(v[:, :2], -1, 1)) for name, v in x.items()}
  t = times(4, 2).at[:, :, :2].set(0.0)
  out = solve(process, wild, x, t, context(2), keys, solver)
  for name in x:
    np.testing.assert_array_equal(out[name][:, :2], x[name][:, :2])
    assert np.abs(out[name][:, 2:] - x[name][:, 2:]).max() > 0.1


def test_orders_of_euler_and_heun():
  """Data N(0, c^2): the ODE of the flow scales x by sqrt((1-t)^2 c^2 + t^2), known in closed form."""
  process, c = GaussianFlow(), 0.3

  def exact(clip, t, context):
    tt = t[..., None]
    variance = jnp.square((1 - tt) * c) + jnp.square(tt)
    return {name: (1 - tt) * c**2 / variance * x for name, x in clip.items()}

  x = {"a": jnp.linspace(-1, 1, 32).reshape(1, 1, 32)}
  start, end = 0.9, 0.1
  scale = np.hypot((1 - end) * c, end) / np.hypot((1 - start) * c, start)
  with jax.enable_x64(True):
    x = {"a": jnp.asarray(np.asarray(x["a"], np.float64))}
    for solver, order in (("euler", 1), ("heun", 2)):
      errors = []
      for steps in (32, 64):
        t = jnp.linspace(start, end, steps + 1)[:, None, None]
        out = solve(process, exact, x, t, context(1), jax.random.key(0)[None], solver)
        errors.append(np.abs(out["a"] - scale * x["a"]).max())
      assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def test_guidance_is_its_formula():
  keys = jax.vmap(jax.random.key)(jnp.arange(3))
  x, t = prior(UniformFlow(), SENSES, 4, keys), jnp.full((3, 4), 0.5)
  words = context(3)
  nothing = Context(text=jnp.asarray(text.tokenize([""] * 3, 16)), independent_senses=jnp.ones(3, bool))
  conditional, unconditional = wild(x, t, words), wild(x, t, nothing)
  guided = classifier_free(wild, 2.5)(x, t, words)
  for name in x:
    want = unconditional[name] + 2.5 * (conditional[name] - unconditional[name])
    np.testing.assert_allclose(guided[name], want, atol=1e-5)


def test_outside_its_interval_there_is_no_guidance():
  keys = jax.vmap(jax.random.key)(jnp.arange(3))
  x, t = prior(UniformFlow(), SENSES, 4, keys), jnp.tile(jnp.array([0.2, 0.3, 0.6, 0.7]), (3, 1))

  # With small numbers: sin(7 x + 1000) depends on whether the product and the sum are fused.
  def tame(clip, t, context):
    return wild(clip, t, context.replace(text=context.text / 1000))

  denoisers = tame, classifier_free(tame, 2.5), classifier_free(tame, 2.5, (0.3, 0.65))
  free, guided, limited = (jax.jit(denoiser)(x, t, context(3)) for denoiser in denoisers)
  for name in x:
    np.testing.assert_allclose(limited[name][:, [0, 3]], free[name][:, [0, 3]], atol=1e-5)
    np.testing.assert_allclose(limited[name][:, 1:3], guided[name][:, 1:3], atol=1e-5)


def test_memory_does_not_grow_with_steps():
  keys = jax.vmap(jax.random.key)(jnp.arange(2))

  def temporaries(steps):
    compiled = jax.jit(lambda keys: run(UniformFlow(), "euler", keys, steps)).lower(keys).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporaries(64) <= 1.05 * temporaries(8) + 64 * 8 * 4 * 4


def test_callback_sees_every_step_and_unknown_solvers_are_named():
  keys = jax.vmap(jax.random.key)(jnp.arange(2))
  process, seen = UniformFlow(), []
  x = prior(process, SENSES, 4, keys)
  out = solve(
    process, wild, x, times(3, 2), context(2), keys, callback=lambda step, x: seen.append((int(step), x))
  )
  jax.effects_barrier()
  assert [step for step, _ in seen] == [0, 1, 2]
  np.testing.assert_array_equal(seen[-1][1]["touch"], out["touch"])
  with pytest.raises(UserError, match="'euler'"):
    solve(process, wild, x, times(3, 2), context(2), keys, "eulr")
