"""The Lorenz source: the law it states, by another hand; deterministic; on the attractor."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from stale_jax.data import Lorenz
from stale_jax.data.sources.lorenz import _CENTRE, _HALF_WIDTH, caption, integrate, trajectories
from stale_jax.errors import UserError

SOURCE = Lorenz(frames=16)


def law(_, state):
  x, y, z = state
  return [10 * (y - x), x * (28 - z) - y, x * y - 8 * z / 3]


def exact(state, seconds):
  return solve_ivp(law, (0, seconds), state, method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]


def test_one_frame_is_the_solution_of_the_equation():
  starts = trajectories(0, "train", 10)[:40, 0]
  error = integrate(starts, 10) - [exact(start, 0.05) for start in starts]
  assert np.abs(error).max() < 2e-5  # Of coordinates up to 47.


def test_a_clip_follows_the_law_in_its_own_units():
  for index in range(5):
    state = SOURCE[index]["clip"]["state"]
    assert state.shape == (16, 3) and state.dtype == np.float32
    np.testing.assert_allclose(SOURCE.advance(state[:-1]), state[1:], atol=1e-6)
    start = state[0].astype(np.float64) * _HALF_WIDTH + _CENTRE
    np.testing.assert_allclose((exact(start, 0.05) - _CENTRE) / _HALF_WIDTH, state[1], atol=1e-5)
  # A stride is that many steps: ten of the flow of a source with the least.
  state = state.astype(np.float64)
  fine = Lorenz(stride=1)
  there = state
  for _ in range(10):
    there = fine.advance(there)
  np.testing.assert_allclose(there, SOURCE.advance(state), atol=1e-12)


def test_random_access_is_deterministic_in_seed_and_index():
  again, other, test = Lorenz(frames=16), Lorenz(frames=16, seed=1), Lorenz(frames=16, split="test")
  for index in (7, 0, 12345):
    state = SOURCE[index]["clip"]["state"]
    np.testing.assert_array_equal(state, again[index]["clip"]["state"])
    for different in (other, test):
      assert np.abs(state - different[index]["clip"]["state"]).max() > 1e-3
  trajectories.cache_clear()
  np.testing.assert_array_equal(state, Lorenz(frames=16)[12345]["clip"]["state"])


def test_captions_say_the_wings():
  seen = set()
  for index in range(60):
    example = SOURCE[index]
    x = example["clip"]["state"][:, 0]
    wings = ["left" if x[i] < 0 else "right" for i in (0, -1)]
    assert example["caption"] == f"from the {wings[0]} wing to the {wings[1]}" == caption(example["labels"])
    seen.add(example["caption"])
  assert len(seen) == 4


def test_it_is_on_the_attractor_and_inside_the_box():
  every = trajectories(0, "train", 10)
  scaled = (every - _CENTRE) / _HALF_WIDTH
  assert 0.9 < np.abs(scaled).max() < 1
  mean = every.mean((0, 1))
  # The symmetry (x, y) -> (-x, -y); and on a bounded orbit d<z>/dt = 0, so <xy> = 8/3 <z>.
  assert np.abs(mean[:2]).max() < 0.2 and mean[2] == pytest.approx(23.55, abs=0.1)
  assert np.mean(every[..., 0] * every[..., 1]) == pytest.approx(8 / 3 * mean[2], rel=0.01)


@pytest.mark.parametrize(
  ("fields", "words"),
  [
    ({"split": "tset"}, "'test'"),
    ({"frames": 6}, "frames=6"),
    ({"frames": 4096}, "frames=4096"),
    ({"stride": 0}, "stride=0"),
  ],
)
def test_values_that_cannot_be_are_named(fields, words):
  with pytest.raises(UserError, match=words):
    Lorenz(**fields)
