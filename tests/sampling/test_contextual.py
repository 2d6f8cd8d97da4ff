"""The bias of context: every step is that of the process between its biases, and the box is never left."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from stale_jax.clip import Batch, Context, EncodedText, Sense
from stale_jax.errors import UserError
from stale_jax.models.parameters import draw
from stale_jax.models.relation import RelationNetwork
from stale_jax.objectives import predict
from stale_jax.processes import EDM, VP, GaussianFlow, Reflected, Uniform, UniformFlow, grid
from stale_jax.processes.contextual import Biased, into_the_box
from stale_jax.sampling.contextual import contextual_edit, contextual_sample, contextual_step
from stale_jax.sampling.editing import Codes, decode
from stale_jax.sampling.solvers import Reverse

PROCESSES = [UniformFlow(), GaussianFlow(), VP(), EDM()]
N = 40_000
KEYS = jax.vmap(jax.random.key)(jnp.arange(3))
START = {"touch": jax.random.uniform(KEYS[0], (3, 4, 6), minval=-1.0)}


def full(value, shape=(N, 1)):
  return jnp.full(shape, value, jnp.float32)


def reverse_of(process, steps=8):
  times = grid(steps, 3.0)
  return Reverse(
    process=process,
    denoiser=lambda clip, t, context: {name: jnp.tanh(4 * x) for name, x in clip.items()},
    times=jnp.broadcast_to(times[:, None, None], (len(times), 3, 4)),
    context=Context(text=jnp.asarray([[1], [2], [0]])),
    keys=KEYS,
  )


def wild(clip, context):
  """A relation that depends on the clip and on the caption."""
  return {name: jnp.sin(9 * x + context.text[:, :, None]) for name, x in clip.items()}


def none(clip, context):
  return jax.tree.map(jnp.zeros_like, clip)


def test_a_relation_leads_into_the_box():
  x0, h = jnp.meshgrid(jnp.linspace(-1, 1, 201), jnp.linspace(-1, 1, 201))
  moved = x0 + into_the_box(h, x0)
  assert float(jnp.abs(moved).max()) <= 1 + 1e-6
  np.testing.assert_allclose(moved[200], 1.0, atol=1e-6)
  np.testing.assert_allclose(moved[0], -1.0, atol=1e-6)
  np.testing.assert_array_equal(into_the_box(jnp.zeros_like(x0), x0), 0.0)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_a_bridge_composes_to_the_noising(process, eta):
  x0 = full(0.6, (N, 1, 1))
  biased = Biased(process=process, relation=into_the_box(full(-0.9, x0.shape), x0))
  t, s = full(0.7), full(0.4)
  x_t = biased.corrupt(jax.random.key(0), x0, t).x_t
  want = np.asarray(biased.corrupt(jax.random.key(1), x0, s).x_t).ravel()
  x_s = biased.bridge(jax.random.key(2), x0, x_t, t, s, eta)
  limit = 1.95 * (2 / N) ** 0.5
  assert kstest(np.asarray(x_s).ravel(), want).statistic < limit
  # Bridges that forget the bias at the end of the step, or that at its beginning.
  plain = process.bridge(jax.random.key(2), x0, x_t, t, s, eta) + biased.bias(s)
  for fake in (x_s - biased.bias(s), plain) if eta < 1 else (x_s - biased.bias(s),):
    assert kstest(np.asarray(fake).ravel(), want).statistic > 1.5 * limit
  # At the ends there is no bias.
  np.testing.assert_allclose(biased.bias(full(0.0)), 0, atol=1e-6)
  # At time 1 EDM keeps 1/80 of the clip, whose standard deviation is sigma_data.
  np.testing.assert_allclose(biased.bias(full(1.0)), 0, atol=2e-2)


def test_a_step_of_the_uniform_flow_is_the_convex_combination_of_the_docstring():
  """In float64, with the relation written out; and the formula of rectified flows for any relation."""
  rng, (t, s) = np.random.default_rng(0), (0.8, 0.3)
  with jax.enable_x64():
    x_t, x0, h = (jnp.asarray(rng.uniform(-1, 1, (1000, 1, 2))) for _ in range(3))
    biased = Biased(process=UniformFlow(), relation=into_the_box(h, x0))
    times = [jnp.full((1000, 1), value) for value in (t, s)]
    mean, scale = biased.transition(x0, x_t, *times, 0.0)
    mean, x_t, x0, h = map(np.asarray, (mean, x_t, x0, h))
  r = h - np.abs(h) * x0
  g = x0 + r
  want = s / t * x_t + (1 - s / t) * ((1 - s * t) * x0 + s * t * g)
  np.testing.assert_allclose(mean, want, atol=1e-12)
  b_t, b_s = t * (1 - t) * r, s * (1 - s) * r
  np.testing.assert_allclose(mean, (1 - s) * x0 + b_s + s / t * (x_t - (1 - t) * x0 - b_t), atol=1e-12)
  assert np.abs(mean).max() <= 1 and not np.any(scale)


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_without_bias_a_sample_is_that_of_the_process_and_with_one_it_differs(process):
  reverse = reverse_of(process)
  want = jax.jit(lambda x: decode(reverse, Codes(start=x, noise={}), 0.0))(START)["touch"]
  zero = jax.jit(lambda x: contextual_sample(reverse, none, x))(START)["touch"]
  np.testing.assert_allclose(jnp.clip(zero, -1, 1), want, atol=1e-6)  # Two programs, which round differently.
  moved = contextual_sample(reverse, wild, START)["touch"]
  assert np.abs(moved - zero).max() > 0.05
  other = dataclasses.replace(reverse, context=Context(text=reverse.context.text + 1))
  assert np.abs(contextual_sample(other, wild, START)["touch"] - moved).max() > 0.05
  if process == UniformFlow():
    for steps in (1, 3, 8):
      x = contextual_sample(reverse_of(process, steps), wild, START)["touch"]
      assert np.abs(x).max() <= 1


def test_the_relation_sees_the_estimate_and_never_the_noised_clip():
  reverse, seen = reverse_of(UniformFlow()), []

  def spy(clip, context):
    seen.append(clip["touch"])
    return none(clip, context)

  contextual_step(reverse, spy, START, jnp.int32(0), START, 0.0)
  np.testing.assert_allclose(seen[0], jnp.tanh(4 * START["touch"]), atol=1e-6)


def test_an_edit_of_little_noise_changes_little_and_reflected_diffusion_is_refused():
  reverse = reverse_of(UniformFlow())
  changed = []
  for first in (7, 2):
    late = dataclasses.replace(reverse, times=reverse.times[first:], denoiser=lambda clip, t, c: clip)
    changed.append(float(np.abs(contextual_edit(late, wild, START)["touch"] - START["touch"]).mean()))
  assert 0 < changed[0] < changed[1]
  for function in (contextual_sample, contextual_edit):
    with pytest.raises(UserError, match="Reflected does not mix data with noise"):
      function(reverse_of(Reflected()), wild, START)


def test_the_network_starts_at_no_bias_and_learns_from_the_caption():
  sense = Sense(name="sight", shape=(4, 4, 3), rate=8.0, patch=(1, 2, 2), channels=("r", "g", "b"))
  network = RelationNetwork(senses=(sense,), text_width=5, width=8, heads=2)
  params = draw(network.declared, jax.random.key(0))
  clip = {"sight": jax.random.uniform(KEYS[1], (3, 4, 4, 4, 3), minval=-1.0)}
  tokens = jax.random.normal(KEYS[2], (3, 6, 5))
  text = EncodedText(
    tokens=tokens,
    real=jnp.arange(6) < jnp.asarray([[6], [4], [2]]),
    empty=tokens,
    empty_real=tokens[..., 0] > 9,
  )
  np.testing.assert_array_equal(network(params, clip, text)["sight"], 0.0)

  def loss(params):
    def relate(clip, context):
      return network(params, clip, text)

    def denoiser(clip, t, context):
      return clip

    batch = Batch(clip=clip, context=Context(text=jnp.zeros((3, 1), jnp.int32)), index=jnp.arange(3))
    prediction = predict(denoiser, UniformFlow(), Uniform(), batch, jax.random.key(3), relate=relate)
    corruption = prediction.corruption["sight"]
    return UniformFlow().loss(prediction.output["sight"], corruption, prediction.t).mean() + prediction.bias

  gradient = jax.grad(loss)(params)
  assert float(jnp.abs(gradient["sight_out"]["dense"]["kernel"]).max()) > 1e-5
  params = jax.tree.map(lambda p, g: p - g + 0.1, params, gradient)
  h = network(params, clip, text)["sight"]
  assert h.shape == clip["sight"].shape and 0.01 < float(jnp.abs(h).max()) <= 1
  padded = text.replace(tokens=text.tokens.at[2, 2:].set(7.0))
  np.testing.assert_allclose(network(params, clip, padded)["sight"], h, atol=1e-6)
  other = text.replace(tokens=text.tokens.at[2, 0].set(7.0))
  changed = np.abs(network(params, clip, other)["sight"] - h).max((1, 2, 3, 4))
  assert changed[2] > 1e-4 and not changed[:2].any()
