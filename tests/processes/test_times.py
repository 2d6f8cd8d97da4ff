"""Time densities and grids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm

from stale_jax.errors import UserError
from stale_jax.processes import (
  LogitNormal,
  Reflected,
  Shifted,
  Uniform,
  build_density,
  build_process,
  grid,
  shift,
  stratified,
)


@pytest.mark.parametrize(
  ("density", "cdf"),
  [
    (Uniform(), lambda t: t),
    (LogitNormal(mean=-1.5, std=0.7), lambda t: norm.cdf((np.log(t / (1 - t)) - 1.5) / 0.7)),
    (Shifted(factor=6.0), lambda t: t / (6 - 5 * t)),
  ],
)
def test_draws_follow_the_density(density, cdf):
  keys = jax.random.split(jax.random.key(0), 2000)
  draws = np.concatenate(jax.vmap(lambda key: stratified(key, density, 4))(keys), dtype=np.float64)
  assert kstest(draws, cdf).pvalue > 0.01


def test_a_batch_is_spread_evenly():
  t = np.sort(stratified(jax.random.key(3), Uniform(), 16))
  assert np.floor(t * 16 - (t * 16)[0] + 1e-4).tolist() == list(range(16))


def test_the_grid_goes_from_the_prior_to_the_data():
  for factor in (0.5, 1.0, 6.0):
    t = grid(20, factor)
    assert t[0] == 1 and t[-1] == 0 and (jnp.diff(t) < 0).all()
  # Shifting by a and then by 1 / a is nothing.
  np.testing.assert_allclose(shift(shift(jnp.linspace(0, 1, 9), 5.0), 0.2), np.linspace(0, 1, 9), atol=1e-6)
  # The log-SNR moves by the same amount everywhere (SD3, eq. 23).
  t = np.linspace(0.1, 0.9, 5)
  moved = shift(t, 3.0)
  np.testing.assert_allclose(moved / (1 - moved), 3 * t / (1 - t), rtol=1e-6)


def test_build_names_what_is_wrong():
  assert build_process({"name": "reflected", "sigma_max": 2.0}) == Reflected(sigma_max=2.0)
  assert build_density({"name": "shifted", "factor": 2.0}) == Shifted(factor=2.0)
  with pytest.raises(UserError, match="process.sigma_mx: did you mean 'sigma_max'"):
    build_process({"name": "reflected", "sigma_mx": 2.0})
  with pytest.raises(UserError, match="'logit_normal'"):
    build_density({"name": "logitnormal"})
