"""The search for a prior: rewards that depend on the noise rise, others leave it where it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.clip import Sense
from stale_jax.errors import UserError
from stale_jax.processes import UniformFlow
from stale_jax.sampling.noise_prior import Coarse
from stale_jax.sampling.reward_predictor import fitted, initial_predictor
from stale_jax.sampling.search import Find, search

SENSES = (Sense(name="touch", shape=(8,), rate=8.0, patch=(1,), channels=tuple("abcdefgh")),)
START = Coarse(times=2).flat(SENSES, 4)
SMALL = Find(rate=0.05)  # Smaller steps than by default, since 16 coordinates are tuned.


def game(reward, seed):
  """Draws of a prior, and the rewards of their coordinates; and a place for all priors that were played."""
  played = []

  def play(prior, first, count):
    played.append(prior)
    keys = jax.vmap(jax.random.key)(jnp.arange(first, first + count) + 10_000 * (seed + 1))
    c = prior.coordinates(UniformFlow(), SENSES, keys)
    return c, np.asarray(reward(c["touch"], first))

  return play, played


def linear(c, first):
  """The mean of `d` of 16 coordinates that matter, plus noise of the same size."""
  noise = np.random.default_rng(first).normal(size=len(c))
  return 3 + 10 * (np.asarray(c[:, 0, 2]) + noise)


@pytest.mark.parametrize("seed", range(3))
def test_a_reward_of_one_coordinate_rises_and_a_random_one_moves_nothing_along_it(seed):
  play, played = game(linear, seed)
  found = search(play, START, SMALL, jax.random.key(seed))
  assert found.calls == 480 and len(found.rewards) == len(played) == 15
  gain = float(found.prior.mean["touch"][0, 2]) / 2**0.5  # In standard deviations of the reward.
  assert gain > 0.5 and np.mean(found.rewards[-3:]) > np.mean(found.rewards[:3])
  others = np.delete(np.asarray(found.prior.mean["touch"]).ravel(), 2)
  assert np.abs(others).max() < gain

  play, _ = game(lambda c, first: np.random.default_rng(first).normal(size=len(c)), seed)
  control = search(play, START, SMALL, jax.random.key(seed))
  assert abs(float(control.prior.mean["touch"][0, 2])) < 0.5 * gain
  assert control.divergence < 0.5 * found.divergence


def test_the_divergence_is_bounded_and_a_constant_reward_changes_nothing():
  play, _ = game(linear, 0)
  for most in (1e-3, 1e-2):
    found = search(play, START, Find(rate=0.05, most_kl=most), jax.random.key(0))
    assert 0 < found.divergence <= most * 16 and found.calls < 480
  play, _ = game(lambda c, first: np.full(len(c), 7.0), 0)
  found = search(play, START, Find(calls=64), jax.random.key(0))
  assert found.divergence == pytest.approx(0, abs=1e-4) and found.rewards == [7.0, 7.0]


def test_the_predictor_learns_the_mean_of_each_distribution():
  policies = jnp.repeat(jnp.asarray([[0.0, 0.0], [1.0, 0.5], [-1.0, 1.0]]), 200, 0)
  means = jnp.repeat(jnp.asarray([0.0, 2.0, -1.0]), 200)
  rewards = means + jax.random.normal(jax.random.key(0), means.shape)
  predictor = initial_predictor(jax.random.key(1), 2)
  assert not predictor(policies).any()
  predicted = fitted(predictor, policies, rewards, 1000)(policies)
  want = jnp.repeat(rewards.reshape(3, -1).mean(1), 200)
  np.testing.assert_allclose(predicted, want, atol=0.15)


def test_bad_rewards_and_settings_are_refused():
  play, _ = game(lambda c, first: np.where(np.arange(len(c)) == 3, np.nan, 0.0), 0)
  with pytest.raises(UserError, match="reward of a clip is nan"):
    search(play, START, Find(), jax.random.key(0))
  with pytest.raises(UserError, match="find.calls=8 must be at least find.batch=32"):
    Find(calls=8)
