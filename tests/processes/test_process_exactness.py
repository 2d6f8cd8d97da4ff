"""Processes against float64 references and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.processes import GaussianFlow, Reflected, UniformFlow
from stale_jax.processes.reflected import fold, kernel, kernel_score, noise_rms


def reference_score(u, y, sigma):
  """Each of the two series in float64, where it converges without cancellation."""
  if sigma <= 0.6:
    k = np.arange(-12, 13)
    m = np.concatenate([y[..., None] + 2 * k, -y[..., None] + 2 * k], -1)
    e = -((u[..., None] - m) ** 2) / 2 / sigma**2
    w = np.exp(e - e.max(-1, keepdims=True))
    return -(w * (u[..., None] - m)).sum(-1) / w.sum(-1) / sigma**2
  n = np.arange(1, 60)
  e = np.exp(-((n * np.pi * sigma) ** 2) / 2) * np.cos(n * np.pi * y[..., None])
  density = 1 + 2 * (e * np.cos(n * np.pi * u[..., None])).sum(-1)
  return -2 * (e * n * np.pi * np.sin(n * np.pi * u[..., None])).sum(-1) / density


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.3, 0.35, 0.5, 1.0, 1.5, 2.0])
def test_kernel_score_is_float32_exact(sigma):
  u, y = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101))
  want = reference_score(u, y, sigma)
  got = kernel_score(jnp.float32(u), jnp.float32(y), jnp.float32(sigma))
  assert np.abs(got - want).max() / np.sqrt((want**2).mean()) <= 2e-5


@pytest.mark.parametrize("sigma", [0.5, 0.75, 1.0, 1.25, 1.5])
def test_distance_to_uniform_follows_the_formula(sigma):
  u = (np.arange(200_000) + 0.5) / 200_000
  n = np.arange(1, 40)[:, None]
  density = 1 + 2 * (np.exp(-((n * np.pi * sigma) ** 2) / 2) * np.cos(n * np.pi * u)).sum(0)
  tv = 0.5 * np.abs(density - 1).mean()
  assert tv == pytest.approx(2 / np.pi * np.exp(-((np.pi * sigma) ** 2) / 2), rel=0.01)
  np.testing.assert_allclose(kernel(jnp.float32(u), 0.0, sigma), density, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.3, 0.5])
def test_folded_noise_is_an_unbiased_estimate_of_the_score(sigma):
  rng = np.random.default_rng(0)
  y, z = rng.random(200_000), rng.standard_normal(200_000)
  v = y + sigma * z
  sign = np.where(np.mod(v, 2) > 1, -1, 1)
  exact = -sigma * np.asarray(kernel_score(fold(jnp.float32(v)), jnp.float32(y), jnp.float32(sigma)))
  slope = (sign * z * exact).sum() / (exact**2).sum()
  assert slope == pytest.approx(1, abs=0.02)


def test_noise_rms_matches_the_measured_table():
  sigmas = jnp.array([0.01, 0.1, 0.3, 0.5, 0.7, 1.0])
  np.testing.assert_allclose(noise_rms(sigmas), [0.992, 0.919, 0.736, 0.472, 0.196, 0.0226], rtol=0.01)


@pytest.mark.parametrize("sigma_max", [1.6, 2.0, 2.5, 3.0])
def test_reflected_target_has_unit_scale_up_to_the_largest_sigma_max(sigma_max):
  x0 = jax.random.uniform(jax.random.key(0), (50_000, 1, 1), minval=-1, maxval=1)
  target = Reflected(sigma_max=sigma_max).corrupt(jax.random.key(1), x0, jnp.ones((50_000, 1))).target
  assert float(jnp.sqrt(jnp.mean(target**2))) == pytest.approx(1, abs=0.01)


def test_noise_rms_at_large_sigma_is_the_first_cosine():
  for sigma in (1.5, 2.0, 2.5, 3.0):
    first = np.pi * sigma * np.exp(-((np.pi * sigma) ** 2) / 2)
    assert float(noise_rms(jnp.float32(sigma))) == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize("sigma_max", [3.01, 4.0, 80.0])
def test_reflected_refuses_a_sigma_max_beyond_the_table(sigma_max):
  with pytest.raises(UserError, match=f"process.sigma_max={sigma_max} must be at most 3"):
    Reflected(sigma_max=sigma_max)


def test_reflected_refuses_levels_in_the_wrong_order():
  with pytest.raises(UserError, match="process.sigma_min=1.6 must be less than sigma_max=1.6"):
    Reflected(sigma_min=1.6)


def test_reflected_target_has_unit_scale_at_every_noise_level():
  x0 = jax.random.uniform(jax.random.key(0), (20_000, 1, 1), minval=-1, maxval=1)
  for t in (0.1, 0.5, 0.9, 1.0):
    target = Reflected().corrupt(jax.random.key(1), x0, jnp.full((20_000, 1), t)).target
    assert float(jnp.sqrt(jnp.mean(target**2))) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("process", [Reflected(), UniformFlow(), GaussianFlow()])
def test_time_zero_is_clean(process):
  x0 = jax.random.uniform(jax.random.key(0), (4, 3, 5), minval=-1, maxval=1)
  t = jnp.array([[0.0, 0.5, 1.0]] * 4)
  x_t = process.corrupt(jax.random.key(1), x0, t).x_t
  np.testing.assert_allclose(x_t[:, 0], x0[:, 0], atol=1e-6)
  assert jnp.abs(x_t[:, 1] - x0[:, 1]).mean() > 0.1


def test_gaussian_ancestral_step_keeps_the_marginals():
  n, t, s = 200_000, 0.8, 0.4
  x0 = jnp.full((n, 1, 1), 0.3)
  process = GaussianFlow()
  x_t = process.corrupt(jax.random.key(0), x0, jnp.full((n, 1), t)).x_t
  noise = jax.random.normal(jax.random.key(1), x0.shape)
  x_s = process.step(noise, x0, x_t, jnp.full((n, 1), t), jnp.full((n, 1), s))
  assert float(x_s.mean()) == pytest.approx((1 - s) * 0.3, abs=0.005)
  assert float(x_s.std()) == pytest.approx(s, abs=0.005)
