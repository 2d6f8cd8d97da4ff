"""Likelihoods against known densities: where they are exact, and that the error bars are honest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, multivariate_normal

from stale_jax.clip import Context
from stale_jax.evaluation.likelihood import START, likelihood, path
from stale_jax.processes import GaussianFlow, Reflected, UniformFlow
from stale_jax.processes.process import per_frame
from stale_jax.testing.densities import FoldedMixture

MIXTURE = FoldedMixture()
N = 48


def follow(process, denoiser, clip, steps, probes=4, key=0):
  size = len(next(iter(clip.values())))
  context = Context(text=jnp.zeros((size, 1), jnp.int32))
  run = jax.jit(
    lambda clip: likelihood(process, denoiser, clip, path(steps), context, jax.random.key(key), probes)
  )
  return jax.device_get(run(clip))


@pytest.mark.parametrize("process", [Reflected(sigma_min=0.005), UniformFlow()])
def test_bits_of_each_clip_of_a_known_mixture(process):
  with jax.enable_x64(True):
    cells = np.linspace(0, 1, 100_001)
    x0 = 2 * np.interp(np.random.default_rng(0).uniform(size=(N, 2, 4)), MIXTURE.cdf(cells), cells) - 1
    x = process.corrupt(jax.random.key(0), jnp.asarray(x0), jnp.full((N, 2), START)).x_t
    # Two senses: bits are a dimension of both together.
    found = follow(process, MIXTURE.denoiser(process), {"a": x[..., :3], "b": x[..., 3:]}, 160, probes=1)
  density = MIXTURE.noised_density(np.ravel(x), process, START).reshape(N, -1)
  truth = np.log2(density).mean(1) + 1
  # A diagonal Jacobian's trace is not estimated but exact, so that one probe will do.
  assert found.bits.mean() == pytest.approx(truth.mean(), rel=0.01)
  assert np.corrcoef(found.bits, truth)[0, 1] > 0.99
  assert found.outside.max() == 0


@pytest.mark.parametrize("process", [Reflected(sigma_min=0.005), UniformFlow()])
def test_noised_density_is_that_of_noised_draws(process):
  cells = np.linspace(0, 1, 100_001)
  x0 = 2 * np.interp(np.random.default_rng(0).uniform(size=50_000), MIXTURE.cdf(cells), cells) - 1
  t = 0.3
  x = process.corrupt(jax.random.key(0), jnp.float32(x0[:, None, None]), jnp.full((len(x0), 1), t)).x_t
  middle = np.linspace(-1, 1, 20_001)[:-1] + 5e-5
  cdf = np.append(0, np.cumsum(MIXTURE.noised_density(middle, process, t))) * 1e-4
  assert cdf[-1] == pytest.approx(1, abs=1e-4)
  assert kstest(np.ravel(x), lambda v: np.interp(v, np.linspace(-1, 1, 20_001), cdf)).pvalue > 0.01


def test_hutchinson_s_error_bar_covers_a_full_jacobian():
  rng = np.random.default_rng(1)
  factor = 0.1 * rng.standard_normal((4, 4)) + 0.05 * np.eye(4)
  covariance, eye = factor @ factor.T, np.eye(4)

  def denoiser(clip, t, context):
    a, t = per_frame(1 - t, clip["a"])[..., None], per_frame(t, clip["a"])[..., None]
    total = jnp.square(a) * covariance + jnp.square(t) * eye
    return {"a": (a * covariance @ jnp.linalg.solve(total, clip["a"][..., None]))[..., 0]}

  normal = multivariate_normal(cov=(1 - START) ** 2 * covariance + START**2 * eye)
  x = normal.rvs(256, random_state=rng)
  with jax.enable_x64(True):
    found = follow(GaussianFlow(), denoiser, {"a": jnp.asarray(x[:, None])}, 128, probes=8)
  truth = normal.logpdf(x) / np.log(2) / 4 + 1
  assert found.error.min() > 1e-3
  # Student's t with 7 degrees of freedom: .914 within 2, .57 within .84.
  z = np.abs(found.bits - truth) / found.error
  assert np.mean(z < 2) == pytest.approx(0.914, abs=0.06) and np.mean(z < 0.84) == pytest.approx(
    0.57, abs=0.1
  )
  assert found.bits.mean() == pytest.approx(truth.mean(), rel=0.01)


def test_a_model_that_knows_nothing_gains_nothing():
  """The uniform itself: x0 given x_t is uniform where the noise allows."""

  def denoiser(clip, t, context):
    def one(x):
      tt = per_frame(t, x)
      low, high = (jnp.clip((x + s * tt) / jnp.maximum(1 - tt, 1e-6), -1, 1) for s in (-1, 1))
      return (low + high) / 2

    return {name: one(x) for name, x in clip.items()}

  x = np.random.default_rng(0).uniform(-0.9, 0.9, (N, 1, 16))
  with jax.enable_x64(True):
    found = follow(UniformFlow(), denoiser, {"a": jnp.asarray(x)}, 128)
  assert np.abs(found.bits.mean()) < 0.02


def test_the_path():
  times = path(32)
  assert times[0] == pytest.approx(START) and times[-1] == 1 and len(times) == 33
  assert (np.diff(times) > 0).all()
