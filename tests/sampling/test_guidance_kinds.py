"""Rules of guidance and time grids, in properties that hold for any network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Context
from stale_jax.processes import VP, GaussianFlow, UniformFlow
from stale_jax.sampling import Sampling, solve
from stale_jax.sampling.grids import GRIDS, sd3_shift
from stale_jax.sampling.guidance import OptimizedScale, Plain, Projected, Rescaled
from stale_jax.testing.models import drawn
from tests import micro

KINDS = {
  "rescaled": Rescaled(rescale=0.7),
  "apg": Projected(parallel=0.2, norm_limit=1.0),
  "cfg_zero": OptimizedScale(process=GaussianFlow()),
}
CAUSAL = {"source__patch": 1, "model__causal": True, "times__independent": True}


def outputs(seed=0, shape=(3, 4, 5)):
  rng = np.random.default_rng(seed)
  return tuple(jnp.asarray(rng.uniform(-1, 1, shape), jnp.float32) for _ in range(3))


@pytest.mark.parametrize("rule", KINDS.values(), ids=KINDS)
def test_clean_frames_and_other_examples_do_not_matter(rule):
  """Conditioning frames at time 0 have no part in the statistics of a clip."""
  c, u, x = outputs()
  t = jnp.full((3, 4), 0.5).at[:, 0].set(0.0)
  want = rule(c, u, 4.0, x, t)
  other_c, other_u, other_x = (a.at[:, 0].add(3.0).at[2].multiply(5.0) for a in (c, u, x))
  got = rule(other_c, other_u, 4.0, other_x, t)
  np.testing.assert_allclose(got[:2, 1:], want[:2, 1:], atol=1e-5)
  # A frame that is denoised does matter.
  moved = rule(c.at[:, 1].add(3.0), u, 4.0, x, t)
  assert np.abs(moved[:2, 2:] - want[:2, 2:]).max() > 1e-3


def test_each_rule_has_plain_guidance_as_a_limit():
  c, u, x = outputs()
  t = jnp.full((3, 4), 0.5)
  plain = Plain()(c, u, 4.0, x, t)
  for rule in (Rescaled(rescale=0.0), Projected(parallel=1.0, norm_limit=0.0)):
    np.testing.assert_allclose(rule(c, u, 4.0, x, t), plain, atol=1e-5)
  # Where the unconditional velocity is the conditional one but for its size, CFG-Zero* does not guide.
  np.testing.assert_allclose(KINDS["cfg_zero"](c, x - 3 * (x - c), 4.0, x, t), c, atol=1e-5)


def test_rescaled_guidance_has_the_deviation_of_the_conditional_output():
  c, u, x = outputs()
  guided = Rescaled(rescale=1.0)(c, u, 4.0, x, jnp.full((3, 4), 0.5))
  np.testing.assert_allclose(np.std(guided, (1, 2)), np.std(c, (1, 2)), rtol=1e-5)


def test_projected_guidance_is_orthogonal_and_short():
  c, u, x = outputs()
  pushed = Projected(parallel=0.0, norm_limit=0.5)(c, u, 3.0, x, jnp.full((3, 4), 0.5)) - c
  np.testing.assert_allclose(np.sum(pushed * c, (1, 2)), 0, atol=1e-5)
  assert (np.sqrt(np.sum(pushed**2, (1, 2))) <= 2 * 0.5 + 1e-5).all()


def test_optimized_scale_is_the_least_squares_fit_of_velocities():
  """Brute force over scales, for a process whose path is not straight."""
  c, u, x = outputs()
  t = jnp.full((3, 4), 0.5)
  got = OptimizedScale(process=VP())(c, u, 0.0, x, t)  # Scale 0: s v_u alone.
  c, u, x = map(np.asarray, (c, u, x))
  y = x / np.sqrt(2)
  scales = np.linspace(-3, 3, 6001)
  for i in range(3):
    errors = [np.sum((y[i] - c[i] - s * (y[i] - u[i])) ** 2) for s in scales]
    best = scales[np.argmin(errors)]
    np.testing.assert_allclose(got[i], y[i] - best * (y[i] - u[i]), atol=3e-3)


@pytest.mark.parametrize("rule", KINDS.values(), ids=KINDS)
def test_equal_outputs_and_zeros_are_finite(rule):
  zero = jnp.zeros((2, 3, 4))
  assert np.isfinite(rule(zero, zero, 4.0, zero, jnp.zeros((2, 3)))).all()
  assert np.isfinite(rule(zero, zero, 4.0, zero, jnp.ones((2, 3)))).all()


@pytest.mark.parametrize("name", GRIDS)
def test_grids_fall_from_1_to_0_between_the_same_ends(name):
  plain = np.asarray(Sampling(steps=9, shift=3.0, batch=1).times(1))[:, 0, 0]
  times = np.asarray(Sampling(steps=9, shift=3.0, batch=1, grid=name).times(1))[:, 0, 0]
  assert times.dtype == plain.dtype and (np.diff(times) < 0).all()
  np.testing.assert_allclose(times[[0, -2, -1]], plain[[0, -2, -1]], rtol=1e-6)
  assert (name == "linear") == np.array_equal(times, plain)


def test_the_shift_of_sd3_keeps_the_noise_of_a_token():
  assert sd3_shift(3.0, 4096, 4096) == 3.0 and sd3_shift(3.0, 1024, 4096) == 1.5
  model = drawn(micro.config())
  data = model.system.data
  settings = model.settings(shift_kind="sd3", shift=6.0, shift_tokens=4 * data.tokens)
  want = model.settings(shift=3.0).times(model.frames)
  np.testing.assert_array_equal(settings.times(model.frames, data.senses), want)


def test_zero_init_is_a_velocity_of_zero_in_the_first_steps():
  settings = Sampling(steps=6, zero_steps=2, shift=3.0, batch=1)
  times, plain = settings.times(1), dataclasses.replace(settings, zero_steps=0).times(1)
  np.testing.assert_array_equal(times[2:], plain[2:])
  process, x = UniformFlow(), {"a": jnp.linspace(-1, 1, 5)[None, None]}

  def network(clip, t, context):
    return {"a": jnp.tanh(3 * clip["a"])}

  context, keys = Context(text=jnp.zeros((1, 1), jnp.int32)), jax.random.key(0)[None]
  want = x["a"]
  for i in range(6):
    velocity = (want - jnp.tanh(3 * want)) / plain[i, 0, 0] if i >= 2 else 0.0
    want = want + (plain[i + 1, 0, 0] - plain[i, 0, 0]) * velocity
  got = solve(process, network, x, times, context, keys, "euler")["a"]
  np.testing.assert_allclose(got, want, atol=1e-5)


PUSHED = {"skip_layers": (1,), "skip_interval": (0.0, 1.0)}


@pytest.mark.parametrize(
  ("changes", "kinds"), [({}, ("apg", "cfg_zero")), (CAUSAL, ("rescaled",))], ids=["all_frames", "causal"]
)
def test_samplers_use_the_settings(changes, kinds):
  """Each setting changes the clips of a model, in the sampler of all frames and with a KV cache."""
  model = drawn(micro.config(model__depth=2, **changes))

  def clip(**settings):
    return model.sample(["a red seven moves left"], [0], guidance=4.0, steps=3, **settings)["sight"]

  plain = clip()
  # The programs of the first three are the same.
  free = [{"grid": "karras"}, {"shift_kind": "flux"}, {"zero_steps": 1}]
  for settings in (*free, *({"guidance_kind": kind} for kind in kinds), PUSHED):
    assert np.abs(clip(**settings) - plain).max() > 1e-3, settings
