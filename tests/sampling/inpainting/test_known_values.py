"""Known values: evidence against quadrature, exact paths, and steering against enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from stale_jax.clip import Context, Sense
from stale_jax.processes import EDM, VP, GaussianFlow, Reflected, UniformFlow, UniformTokens, corrupt, grid
from stale_jax.sampling import sample
from stale_jax.sampling.inpainting import CircuitSettings, Known, Steering, log_likelihood, random_circuit
from stale_jax.sampling.inpainting.circuit import IMPOSSIBLE
from stale_jax.sampling.inpainting.steering import circuit_mean, steered

SENSE = Sense(name="sight", shape=(2, 2, 1), rate=8.0, patch=(1, 1, 1), channels=("ink",))
MIXING = [UniformFlow(), GaussianFlow(), VP(), EDM()]


@pytest.mark.parametrize("t", [0.05, 0.4, 0.95])
@pytest.mark.parametrize("process", MIXING, ids=str)
def test_the_evidence_of_a_noised_value_is_its_integral(process, t):
  """Uniform noise: values outside of an interval are excluded exactly."""
  low, high = jnp.array([-1.0, -0.9, 0.3]), jnp.array([-0.9, 0.3, 1.0])
  alpha, sigma = (float(c) for c in process.coefficients(jnp.float32(t)))
  for x_t in (-0.7, 0.0, 0.33, 0.9):
    at = jnp.full((1, 1, 1), x_t)
    log_density, mean = process.interval_evidence(at, low, high, jnp.full((1, 1), t))
    for i in range(3):
      y = float(low[i]) + float(high[i] - low[i]) * (np.arange(200_000) + 0.5) / 200_000
      e = (x_t - alpha * y) / sigma
      density = (np.abs(e) <= 1) / 2 if isinstance(process, UniformFlow) else norm.pdf(e)
      if density.max() == 0:
        assert float(log_density[0, 0, i]) < IMPOSSIBLE
      elif (total := density.mean() / sigma) > 1e-6:
        assert abs(float(log_density[0, 0, i]) - np.log(total)) < 2e-3
        assert abs(float(mean[0, 0, i]) - (y * density).sum() / density.sum()) < 2e-3
  if isinstance(process, EDM):  # Its last noise level is finite.
    return
  nothing, middle = process.interval_evidence(at, low, high, jnp.ones((1, 1)))
  assert np.ptp(nothing) < 1e-3 and np.abs(middle - (low + high) / 2).max() < 1e-2


def zeros(clip, t, context):
  return {name: jnp.zeros_like(x) for name, x in clip.items()}


CONTEXT = Context(text=jnp.zeros((2, 4), jnp.int32))
KEYS = jax.random.split(jax.random.key(0), 2)


def known_half(clean=None, steering=None, seed=7):
  values = jax.random.uniform(jax.random.key(seed), (2, 3, 2, 2, 1), minval=-1, maxval=1)
  mask = jnp.zeros(values.shape, bool).at[..., 0, :].set(True)
  clean = jnp.zeros((2, 3), bool) if clean is None else clean
  mask = mask | clean[..., None, None, None]
  return Known(values={"sight": values}, mask={"sight": mask}, clean=clean, steering=steering)


@pytest.mark.parametrize("solver", ["euler", "heun", "multistep", "ancestral"])
@pytest.mark.parametrize("process", [*MIXING, Reflected()], ids=str)
def test_known_values_are_kept_bit_for_bit(process, solver):
  if isinstance(process, Reflected) and solver == "multistep":
    return
  known = known_half()
  times = jnp.broadcast_to(grid(6, 2.0)[:, None, None], (7, 2, 3))
  clip = sample(process, zeros, (SENSE,), times, CONTEXT, KEYS, solver, known=known)["sight"]
  mask = known.mask["sight"]
  np.testing.assert_array_equal(clip[mask], known.values["sight"][mask])
  assert np.isfinite(clip).all() and np.abs(clip - known.values["sight"])[~mask].max() > 0.1


def test_the_network_sees_known_values_at_the_noise_of_the_step():
  """Under uniform noise the path is `corrupt` with the noise of time 1, whatever the network says."""
  known, process = known_half(), UniformFlow()
  seen = []

  def denoiser(clip, t, context):
    jax.debug.callback(lambda x, t: seen.append((np.array(x), np.array(t))), clip["sight"], t, ordered=True)
    return zeros(clip, t, context)

  times = jnp.broadcast_to(grid(5, 3.0)[:, None, None], (6, 2, 3))
  sample(process, denoiser, (SENSE,), times, CONTEXT, KEYS, "euler", known=known)
  jax.effects_barrier()
  noise, mask = seen[0][0], np.asarray(known.mask["sight"])
  assert len(seen) == 5 and seen[0][1].max() == 1
  for x, t in seen:
    want = (1 - t[..., None, None, None]) * np.asarray(known.values["sight"])
    want = want + t[..., None, None, None] * noise
    np.testing.assert_allclose(x[mask], want[mask], atol=1e-5)


def test_known_tokens_are_drawn_with_certainty():
  process, sense = (
    UniformTokens(),
    Sense(name="sight", shape=(4, 3), rate=8.0, patch=(1, 1), channels=("a", "b", "c")),
  )
  values = 2 * jax.nn.one_hot(jax.random.randint(jax.random.key(1), (2, 3, 4), 0, 3), 3) - 1
  mask = jnp.zeros(values.shape, bool).at[:, :, :2].set(True)
  known = Known(values={"sight": values}, mask={"sight": mask}, clean=jnp.zeros((2, 3), bool))
  seen = known.denoiser(process, zeros)({"sight": -values}, jnp.ones((2, 3)), CONTEXT)["sight"]
  np.testing.assert_allclose(process.denoised(seen, values, None)[mask], values[mask], atol=1e-6)
  times = jnp.broadcast_to(grid(4, 1.0)[:, None, None], (5, 2, 3))
  clip = sample(process, zeros, (sense,), times, CONTEXT, KEYS, "ancestral", known=known)["sight"]
  np.testing.assert_array_equal(clip[mask], values[mask])


def test_clean_frames_have_time_zero():
  clean = jnp.array([[True, False, False], [False, True, True]])
  known, seen = known_half(clean), []

  def denoiser(clip, t, context):
    jax.debug.callback(lambda x, t: seen.append((np.array(x), np.array(t))), clip["sight"], t, ordered=True)
    return zeros(clip, t, context)

  times = jnp.broadcast_to(grid(3, 1.0)[:, None, None], (4, 2, 3))
  sample(UniformFlow(), denoiser, (SENSE,), times, CONTEXT, KEYS, "euler", known=known)
  jax.effects_barrier()
  for x, t in seen:
    assert (t[np.asarray(clean)] == 0).all() and (t[~np.asarray(clean)] > 0).all()
    np.testing.assert_array_equal(x[np.asarray(clean)], known.values["sight"][clean])


def test_rows_are_taken_together():
  known = known_half().take(jnp.array([1]))
  assert known.values["sight"].shape[0] == known.mask["sight"].shape[0] == known.clean.shape[0] == 1
  np.testing.assert_array_equal(known.values["sight"][0], known_half().values["sight"][1])


@pytest.fixture(scope="module")
def circuit():
  settings = CircuitSettings(levels=2, groups=2, leaf_states=3, states=4, root_states=5)
  return random_circuit(jax.random.key(2), (SENSE,), 2, settings)


@pytest.mark.parametrize("process", [UniformFlow(), GaussianFlow()], ids=str)
def test_the_mean_of_the_circuit_is_that_of_all_clips(process, circuit):
  """Enumeration of the levels of 8 values, with p(x_t | level) by quadrature within the level."""
  t, count = 0.6, 8
  low, high = circuit.edges[:-1], circuit.edges[1:]
  clips = np.array(list(itertools.product((0, 1), repeat=count)))
  log_e = (1 - jax.nn.one_hot(jnp.asarray(clips), 2)) * IMPOSSIBLE
  p = np.exp(np.asarray(log_likelihood(circuit, {"sight": log_e.reshape(-1, 2, 2, 2, 1, 2)}), np.float64))
  x0 = jax.random.uniform(jax.random.key(3), (1, 2, 2, 2, 1), minval=-1, maxval=1)
  mask = jnp.zeros(x0.shape, bool).at[:, 0].set(True)
  x_t = corrupt(process, {"sight": x0}, jnp.full((1, 2), t), jax.random.key(4))["sight"].x_t
  got = circuit_mean(circuit, process, {"sight": x_t}, jnp.full((1, 2), t), {"sight": x0}, {"sight": mask})
  y = low[:, None] + (high - low)[:, None] * (np.arange(20_000) + 0.5) / 20_000  # [levels, points]
  e = (np.asarray(x_t, np.float64).reshape(count, 1, 1) - (1 - t) * y) / t
  density = (np.abs(e) <= 1) / 2.0 if isinstance(process, UniformFlow) else norm.pdf(e)
  likelihood, moment = density.mean(-1), (density * y).mean(-1)  # [values, levels]
  levels = (np.asarray(x0).ravel() >= circuit.edges[1]).astype(int)
  for i in np.flatnonzero(np.asarray(mask).ravel()):
    likelihood[i], moment[i] = np.eye(2)[levels[i]], np.eye(2)[levels[i]] * np.asarray(x0).ravel()[i]
  weights = p * likelihood[np.arange(count), clips].prod(-1)
  means = moment / np.maximum(likelihood, 1e-300)
  want = (weights[:, None] * means[np.arange(count), clips]).sum(0) / weights.sum()
  hidden = ~np.asarray(mask).ravel()
  np.testing.assert_allclose(np.asarray(got["sight"]).ravel()[hidden], want[hidden], atol=2e-3)
  # Known values and neighbours matter: each value alone would have another mean.
  ones = np.einsum("n,niv->iv", p, np.eye(2)[clips]) * likelihood
  alone = (ones * means).sum(-1) / ones.sum(-1)
  assert np.abs(alone - want)[hidden].max() > 0.01


def test_steering_pools_means_and_stops(circuit):
  process, shape = UniformFlow(), (1, 2, 2, 2, 1)
  values, mask = {"sight": jnp.zeros(shape)}, {"sight": jnp.zeros(shape, bool)}
  x = {"sight": jax.random.uniform(jax.random.key(1), shape, minval=-1, maxval=1)}
  for weight in (0.0, 0.5, 1.0):
    steering = Steering(circuit=circuit, weight=jnp.float32(weight), until=jnp.float32(0.8))
    switch = steered(process, zeros, values, mask, steering)
    t = jnp.full((1, 2), 0.9)
    mean = circuit_mean(circuit, process, x, t, values, mask)["sight"]
    got = switch(x, t, CONTEXT)["sight"]
    np.testing.assert_allclose(got, weight * (1 - np.exp(-1.8)) * mean, atol=1e-6)
    np.testing.assert_array_equal(switch(x, jnp.full((1, 2), 0.79), CONTEXT)["sight"], 0)
    # Pooling a posterior with itself changes nothing: x_t is not counted twice.
    own = steered(process, lambda c, t, context, mean=mean: {"sight": mean}, values, mask, steering)
    np.testing.assert_allclose(own(x, t, CONTEXT)["sight"], mean, atol=1e-6)
