"""Samplers on distributions whose scores are known: do infinitely many steps recover the data?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from stale_jax.clip import Context
from stale_jax.processes import Reflected, UniformFlow, grid
from stale_jax.processes.process import per_frame
from stale_jax.processes.reflected import fold_box
from stale_jax.sampling import solve
from stale_jax.testing.densities import FoldedMixture, empirical_denoiser

# Statistics of many samples.
pytestmark = pytest.mark.system

MIXTURE = FoldedMixture()
N = 100_000
REFLECTED = Reflected(sigma_min=0.005, sigma_max=1.6)


def samples(process, steps, solver):
  """N draws of the mixture, in [0, 1]."""
  key = jax.random.key(0)
  x = {"a": process.prior(key, (1, 1, N))}
  times = jnp.broadcast_to(grid(steps)[:, None, None], (steps + 1, 1, 1))
  context = Context(text=jnp.zeros((1, 1), jnp.int32))
  run = jax.jit(lambda x: solve(process, MIXTURE.denoiser(process), x, times, context, key[None], solver))
  return (np.asarray(run(x)["a"]).ravel() + 1) / 2


class EulerMaruyama(Reflected):
  """The plain reverse SDE: noise of the full variance."""

  def step(self, noise, output, x_t, t, s):
    q = jnp.square(self.sigma(t)) - jnp.square(self.sigma(s))
    q = per_frame(q, x_t)
    mean = x_t + 2 * q * self.score(output, x_t, t)
    return jnp.where(
      per_frame(s == 0, x_t), jnp.clip(mean, -1, 1), self.bound(mean + 2 * jnp.sqrt(q) * noise)
    )

  def bound(self, x):
    return fold_box(x)


class Clipping(EulerMaruyama):
  def bound(self, x):
    return jnp.clip(x, -1, 1)


@pytest.mark.parametrize(("solver", "steps", "bar"), [("ancestral", 64, 0.010), ("heun", 16, 0.009)])
def test_reflected_recovers_the_mixture(solver, steps, bar):
  assert MIXTURE.ks(samples(REFLECTED, steps, solver)) <= bar


def test_more_steps_recover_more_and_folding_beats_clipping():
  fold, clip = EulerMaruyama(sigma_min=0.005), Clipping(sigma_min=0.005)
  w16 = MIXTURE.wasserstein(samples(fold, 16, "ancestral"))
  w64 = MIXTURE.wasserstein(samples(fold, 64, "ancestral"))
  w256 = MIXTURE.wasserstein(samples(fold, 256, "ancestral"))
  assert w16 / w256 >= 5
  assert w64 <= 0.008
  assert MIXTURE.wasserstein(samples(clip, 64, "ancestral")) >= 0.02


def test_uniform_flow_recovers_the_mixture():
  with jax.enable_x64(True):
    assert MIXTURE.ks(samples(UniformFlow(), 256, "euler")) <= 0.006


def test_the_optimal_network_of_an_empirical_distribution_recites_it():
  data = load_digits().data[:200].astype(np.float32) / 8 - 1
  process = Reflected(sigma_min=0.005, sigma_max=1.6)
  key = jax.random.key(1)
  x = {"a": process.prior(key, (128, 1, 64))}
  times = jnp.broadcast_to(grid(16)[:, None, None], (17, 128, 1))
  context = Context(text=jnp.zeros((128, 1), jnp.int32))
  keys = jax.random.split(key, 128)
  denoiser = empirical_denoiser(process, data)
  out = jax.jit(lambda x: solve(process, denoiser, x, times, context, keys, "ancestral"))(x)["a"][:, 0]
  rms = np.sqrt(np.square((np.asarray(out)[:, None] - data) / 2).mean(-1))
  assert np.mean(rms.min(1) < 0.01) >= 0.99
  assert len(np.unique(rms.argmin(1))) >= 75
