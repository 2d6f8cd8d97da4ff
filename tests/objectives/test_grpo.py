"""Motion as it is rewarded, against motion that is known; the loss against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.objectives import advantages, global_speeds, motion_reward, nft_loss
from stale_jax.processes import build_process


def moving(pace: float, frames: int = 9) -> np.ndarray:
  """A blob that goes right at that pace, [1, frames, 24, 24, 3]."""
  rows, columns = np.indices((24, 24))
  places = 8 + pace * np.arange(frames)
  blob = [np.exp(-(np.square(rows - 12) + np.square(columns - place)) / 8) for place in places]
  return np.repeat(2 * np.stack(blob)[None, ..., None] - 1, 3, -1).astype(np.float32)


@pytest.mark.parametrize("pace", [0.0, 0.5, 1.0])
def test_the_speed_is_that_of_what_moves(pace):
  np.testing.assert_allclose(global_speeds(jnp.asarray(moving(pace))), pace, atol=0.12 * max(pace, 0.1))


def test_steady_motion_is_rewarded_above_jerks_and_above_none():
  steady, frozen = jnp.full((1, 7), 1.0), jnp.zeros((1, 7))
  jerks = jnp.asarray([[0.0, 2, 0, 2, 0, 2, 1]])
  scores = [float(motion_reward(x, usual=1.0, window=7, kappa=1.0)[0]) for x in (steady, jerks, frozen)]
  assert scores[0] == pytest.approx(1) and scores[2] == pytest.approx(0) and scores[1] < scores[0] - 0.5
  assert float(motion_reward(3 * steady, usual=1.0, window=7, kappa=1.0)[0]) == pytest.approx(
    1
  )  # Nor is haste.


def test_advantages_are_of_a_group():
  found = np.asarray(advantages(jnp.asarray([1.0, 3, 5, 5]), 2))
  np.testing.assert_allclose(found, [-1, 1, 0, 0], atol=1e-5)


@pytest.mark.parametrize(("advantage", "times"), [(0.4, 0.4), (-0.4, -0.4), (3.0, 1.0), (0.0, 0.0)])
def test_where_nothing_is_learnt_yet_the_gradient_is_the_advantage_times_the_flows(advantage, times):
  process = build_process({"name": "uniform_flow"})
  x0, old = (jax.random.uniform(key, (2, 3, 4), minval=-1) for key in jax.random.split(jax.random.key(0)))
  t = jnp.full((2, 3), 0.6)
  corruption, beta = process.corrupt(jax.random.key(1), x0, t), 0.5
  given = jnp.full(2, advantage)
  ours = jax.grad(lambda x: nft_loss(process, x, old, corruption, t, given, beta).sum())(old)
  plain = jax.grad(lambda x: process.loss(x, corruption, t).sum())(old)
  np.testing.assert_allclose(ours, times * beta * plain, atol=1e-5)
