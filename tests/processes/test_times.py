"""Distributions of training times, and time grids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm

from stale_jax.errors import UserError
from stale_jax.processes import (
  EDM,
  VP,
  CosMap,
  LogitNormal,
  Mode,
  Reflected,
  Shifted,
  Uniform,
  UniformTokens,
  build_process,
  build_time_sampler,
  grid,
  shift,
)
from stale_jax.processes.times import clip_times, stratified


def mode_cdf(t, s):
  """The CDF from SD3's eq. 20 as printed, in which t decreases with u; solved for u in float64."""
  u = np.linspace(0, 1, 100_001)
  falling = 1 - u - s * (np.cos(np.pi / 2 * u) ** 2 - 1 + u)
  return 1 - np.interp(-t, -falling, u)


@pytest.mark.parametrize(
  ("time_sampler", "cdf"),
  [
    (Uniform(), lambda t: t),
    (LogitNormal(mean=-1.5, std=0.7), lambda t: norm.cdf((np.log(t / (1 - t)) - 1.5) / 0.7)),
    (Shifted(factor=6.0), lambda t: t / (6 - 5 * t)),
    (Mode(scale=1.7), lambda t: mode_cdf(t, 1.7)),
    (Mode(scale=-0.9), lambda t: mode_cdf(t, -0.9)),
    (CosMap(), lambda t: 2 / np.pi * np.arctan(t / (1 - t))),
  ],
)
def test_draws_follow_the_density(time_sampler, cdf):
  keys = jax.random.split(jax.random.key(0), 2000)
  draws = np.concatenate(jax.vmap(lambda key: stratified(key, time_sampler, 4))(keys), dtype=np.float64)
  assert kstest(draws, cdf).pvalue > 0.01


def test_the_mean_of_logit_normal_is_the_negative_of_the_papers():
  """SD3's pi_ln(t; m, s) has logit(t) ~ N(m, s^2), where t = 1 is the noise there and here."""
  u = jnp.linspace(0.01, 0.99, 99)
  m, s = 1.5, 0.7
  paper = jax.nn.sigmoid(m + s * jax.scipy.special.ndtri(u))
  np.testing.assert_allclose(LogitNormal(mean=-m, std=s).quantile(u), paper, rtol=1e-5)


def test_a_batch_is_spread_evenly():
  t = np.sort(stratified(jax.random.key(3), Uniform(), 16))
  assert np.floor(t * 16 - (t * 16)[0] + 1e-4).tolist() == list(range(16))


def test_the_grid_goes_from_the_prior_to_the_data():
  for factor in (0.5, 1.0, 6.0):
    t = grid(20, factor)
    assert t[0] == 1 and t[-1] == 0 and (jnp.diff(t) < 0).all()
  # Shifting by a and then by 1 / a is the identity.
  np.testing.assert_allclose(shift(shift(jnp.linspace(0, 1, 9), 5.0), 0.2), np.linspace(0, 1, 9), atol=1e-6)
  # Shifting by a and then by b is shifting by ab, and the ends are fixed.
  t = jnp.linspace(0, 1, 9)
  np.testing.assert_allclose(shift(shift(t, 5.0), 0.7), shift(t, 3.5), atol=1e-6)
  assert shift(t, 3.5)[0] == 0 and shift(t, 3.5)[-1] == 1
  # The log-SNR moves by the same amount everywhere (SD3, eq. 23).
  t = np.linspace(0.1, 0.9, 5)
  moved = shift(t, 3.0)
  np.testing.assert_allclose(moved / (1 - moved), 3 * t / (1 - t), rtol=1e-6)


def test_the_shift_keeps_what_a_mean_tells():
  """A constant clip of n values is known to within t / (1 - t) sqrt(n) at time t (SD3, sec. 5.3.2)."""
  for values, reference in ((4096, 1024), (8 * 32 * 32, 16 * 16 * 16), (100, 400)):
    t = np.linspace(0.1, 0.9, 5)
    moved = shift(t, np.sqrt(values / reference))
    np.testing.assert_allclose(
      moved / (1 - moved) / np.sqrt(values), t / (1 - t) / np.sqrt(reference), rtol=1e-6
    )


def test_quantiles_end_at_the_ends():
  ends = jnp.array([0.0, 1.0])
  for time_sampler in (Uniform(), Mode(), Mode(scale=-1.0), CosMap(), Shifted()):
    np.testing.assert_allclose(time_sampler.quantile(ends), ends, atol=1e-6)
    assert (jnp.diff(time_sampler.quantile(jnp.linspace(0, 1, 100))) > 0).all()


def test_build_names_what_is_wrong():
  assert build_process({"name": "reflected", "sigma_max": 2.0}) == Reflected(sigma_max=2.0)
  assert build_time_sampler({"name": "shifted", "factor": 2.0}) == Shifted(factor=2.0)
  with pytest.raises(UserError, match="process.sigma_mx: did you mean 'sigma_max'"):
    build_process({"name": "reflected", "sigma_mx": 2.0})
  assert build_time_sampler({"name": "mode", "scale": 1.0}) == Mode(scale=1.0)
  assert build_time_sampler({"name": "cosmap"}) == CosMap()
  assert build_process({"name": "vp", "schedule": "linear"}) == VP(schedule="linear")
  assert build_process({"name": "edm", "sigma_max": 40.0}) == EDM(sigma_max=40.0)
  assert build_process({"name": "uniform_tokens"}) == UniformTokens()
  with pytest.raises(UserError, match="'cosine'"):
    build_process({"name": "vp", "schedule": "cosin"})
  with pytest.raises(UserError, match="must be less than sigma_max"):
    build_process({"name": "edm", "sigma_max": 0.001})
  with pytest.raises(UserError, match="scale=2.0 must lie"):
    build_time_sampler({"name": "mode", "scale": 2})
  with pytest.raises(UserError, match="'logit_normal'"):
    build_time_sampler({"name": "logitnormal"})


def test_independent_frames_have_times_of_their_own():
  together = clip_times(jax.random.key(0), Uniform(), 64, 5)
  assert (together == together[:, :1]).all()
  t = np.asarray(clip_times(jax.random.key(0), Uniform(independent=True), 512, 5), np.float64)
  for frame in t.T:  # The times of each frame are stratified over the batch.
    assert np.abs(np.diff(np.sort(frame)) - 1 / 512).max() < 1e-5
  apart = np.corrcoef(t.T) - np.eye(5)
  assert np.abs(apart).max() < 4 / np.sqrt(512)
  # No two frames differ by the same amount in every clip.
  assert min(np.std((t[:, i] - t[:, j]) % 1) for i in range(5) for j in range(i)) > 0.2
