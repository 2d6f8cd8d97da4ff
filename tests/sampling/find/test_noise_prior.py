"""Tuned priors: the copula keeps the support, and its densities are those of the whole noise (float64)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, multivariate_normal, norm

from stale_jax.clip import Sense
from stale_jax.errors import UserError
from stale_jax.processes import EDM, VP, GaussianFlow, Reflected, UniformFlow, UniformTokens
from stale_jax.sampling import prior
from stale_jax.sampling.noise_prior import Coarse, NoisePrior, coordinates, spread
from stale_jax.sampling.policy import ascended, divergence, log_density, surrogate

PROCESSES = [UniformFlow(), Reflected(), GaussianFlow(), VP(), EDM()]
SENSES = (
  Sense(name="sight", shape=(4, 4, 3), rate=8.0, patch=(1, 2, 2), channels=("r", "g", "b")),
  Sense(name="touch", shape=(4,), rate=8.0, patch=(1,), channels=("a", "b", "c", "d")),
)
KEYS = jax.vmap(jax.random.key)(jnp.arange(400))
FRAMES = 4


def tuned(seed=0, size=0.5, **coarse) -> NoisePrior:
  flat = Coarse(**coarse).flat(SENSES, FRAMES)
  leaves, tree = jax.tree.flatten(flat)
  rng = np.random.default_rng(seed)
  return jax.tree.unflatten(tree, [jnp.float32(size * rng.normal(size=x.shape)) for x in leaves])


def matrix(grid, shape) -> np.ndarray:
  """C, row by row, in float64."""
  eye = np.eye(int(np.prod(grid))).reshape(-1, *grid)
  return np.asarray(spread(jnp.asarray(eye), shape), np.float64).reshape(len(eye), -1)


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_the_prior_is_mapped_to_the_normal_distribution_and_back(process):
  x = process.prior(jax.random.key(0), (100_000,))
  w = process.to_normal(x)
  assert kstest(np.asarray(w, np.float64), norm.cdf).statistic < 1.95 / len(x) ** 0.5
  np.testing.assert_allclose(process.from_normal(w), x, atol=3e-6)
  far = process.from_normal(jnp.asarray([-50.0, 50.0]))
  assert process in PROCESSES[2:] or np.array_equal(far, [-1, 1])
  assert np.isfinite(process.to_normal(jnp.asarray([-1.0, 1.0]))).all()


@pytest.mark.parametrize("process", PROCESSES[:3], ids=str)
def test_the_flat_prior_is_that_of_the_process_and_a_tuned_one_has_its_moments(process):
  want = prior(process, SENSES, FRAMES, KEYS)
  same = Coarse().flat(SENSES, FRAMES).draw(process, SENSES, KEYS)
  for name, x in want.items():
    np.testing.assert_allclose(same[name], x, atol=1e-5)
  policy = tuned(size=0.3)
  x = policy.draw(process, SENSES, KEYS)
  assert process == GaussianFlow() or max(float(np.abs(v).max()) for v in x.values()) <= 1
  for name, c in policy.coordinates(process, SENSES, KEYS).items():
    found = coordinates(process.to_normal(x[name]), c.shape[1:])
    np.testing.assert_allclose(found, c, atol=1e-4 if process == GaussianFlow() else 0.1)
    error = (c.mean(0) - policy.mean[name]) / jnp.exp(policy.log_std[name]) * len(KEYS) ** 0.5
    assert np.square(error).mean() < 2 and np.abs(error).max() < 4.5
    # What is orthogonal to the subspace stays.
    rest = [process.to_normal(v[name]) for v in (x, want)]
    rest = [w - spread(coordinates(w, c.shape[1:]), w.shape[1:]) for w in rest]
    np.testing.assert_allclose(*rest, atol=1e-4 if process == GaussianFlow() else 0.1)


def test_only_the_senses_that_are_tuned_change():
  policy = tuned(senses=("touch",), times=2)
  x, want = policy.draw(UniformFlow(), SENSES, KEYS[:2]), prior(UniformFlow(), SENSES, FRAMES, KEYS[:2])
  np.testing.assert_array_equal(x["sight"], want["sight"])
  assert np.abs(x["touch"] - want["touch"]).max() > 0.1 and policy.mean["touch"].shape == (2, 4)


def test_the_density_is_that_of_the_whole_noise():
  """log p(x) - log p_flat(x) with the full covariance, and the Jacobian of the copula, which cancels."""
  with jax.enable_x64():
    policy = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tuned())
    other = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tuned(1))
    w = {s.name: jax.random.normal(jax.random.key(1), (3, FRAMES, *s.shape), jnp.float64) for s in SENSES}
    c = {name: coordinates(w[name], mean.shape) for name, mean in policy.mean.items()}
    ours = np.asarray(log_density(policy, c) - log_density(other, c))
    kl = float(divergence(policy, other))

  def laws(prior, sense):
    rows = matrix(prior.mean[sense.name].shape, (FRAMES, *sense.shape))
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-6)
    s2 = np.exp(2 * np.asarray(prior.log_std[sense.name], np.float64).ravel())
    mean = np.asarray(prior.mean[sense.name], np.float64).ravel() @ rows
    return mean, np.eye(rows.shape[1]) + rows.T @ np.diag(s2 - 1) @ rows

  want, want_kl = 0.0, 0.0
  for sense in SENSES:
    (m, a), (n, b) = laws(policy, sense), laws(other, sense)
    flat = np.asarray(w[sense.name]).reshape(3, -1)
    want = want + multivariate_normal.logpdf(flat, m, a) - multivariate_normal.logpdf(flat, n, b)
    inverse = np.linalg.inv(b)
    logs = np.linalg.slogdet(b)[1] - np.linalg.slogdet(a)[1]
    want_kl += (np.trace(inverse @ a) + (n - m) @ inverse @ (n - m) - len(m) + logs) / 2
  np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-4)
  assert kl == pytest.approx(want_kl, rel=1e-5)
  assert float(divergence(tuned(), tuned())) == pytest.approx(0, abs=1e-5)


def test_the_surrogate_is_clipped():
  policy, old = tuned(0, 0.1), tuned(1, 0.1)
  c = old.coordinates(UniformFlow(), SENSES, KEYS[:64])
  advantage = jnp.asarray(np.random.default_rng(0).normal(size=64), jnp.float32)
  log_old = log_density(old, c)
  ratio = np.exp(np.asarray(log_density(policy, c) - log_old, np.float64))
  want = np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage).mean()
  assert float(surrogate(policy, c, log_old, advantage, 0.2)) == pytest.approx(want, rel=1e-4)
  # Where the ratio has left the interval in the wanted direction, nothing is gained any more.
  good = jnp.where(jnp.asarray(ratio) > 1.2, 1.0, 0.0)
  assert good.sum() > 3
  same = ascended(policy, c, log_old, good, 0.2, 1.0)
  np.testing.assert_array_equal(same.mean["touch"], policy.mean["touch"])
  moved = ascended(policy, c, log_old, -good, 0.2, 1.0)
  assert np.abs(moved.mean["touch"] - policy.mean["touch"]).max() > 1e-3


def test_the_step_is_the_natural_gradient():
  """At p = p_old, E[A (c - m)] and E[A ((c - m)^2 / s^2 - 1)] / 2 times the rate, for any s."""
  policy = tuned(2)
  c = policy.coordinates(UniformFlow(), SENSES, KEYS[:50])
  advantage = jnp.asarray(np.random.default_rng(1).normal(size=50), jnp.float32)
  new = ascended(policy, c, log_density(policy, c), advantage, 0.2, 0.3)
  for name, m in policy.mean.items():
    gap, weight = c[name] - m, advantage.reshape(-1, *(1,) * m.ndim)
    np.testing.assert_allclose(new.mean[name], m + 0.3 * (weight * gap).mean(0), atol=1e-4)
    square = jnp.square(gap) * jnp.exp(-2 * policy.log_std[name]) - 1
    want = policy.log_std[name] + 0.3 * (weight * square).mean(0) / 2
    np.testing.assert_allclose(new.log_std[name], want, atol=1e-4)


def test_what_does_not_fit_is_refused_in_one_line():
  policy = tuned()
  policy.check(UniformFlow(), SENSES, 6)
  bad = [
    (lambda: policy.check(UniformTokens(), SENSES, FRAMES), "denoises tokens"),
    (lambda: policy.check(UniformFlow(), SENSES[1:], FRAMES), "noise of sight"),
    (lambda: policy.check(UniformFlow(), SENSES, 3), "at least 4 frames"),
    (lambda: policy.replace(frames=2).check(UniformFlow(), SENSES, 4), "do not fit"),
    (lambda: Coarse(senses=("smell",)).flat(SENSES, FRAMES), "the model has sight, touch"),
    (lambda: Coarse(times=0), "coarse.times=0"),
  ]
  for call, words in bad:
    with pytest.raises(UserError, match=words) as raised:
      call()
    assert "\n" not in str(raised.value)
