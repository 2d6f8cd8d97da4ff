"""Power-function averages against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.training.ema import Ema, gamma_of, relative_std_of


def shares(steps, gamma):
  """What each of steps 1..steps weighs in the average after the last: t^(gamma+1), differenced."""
  return np.diff((np.arange(steps + 1) / steps) ** (gamma + 1))


@pytest.mark.parametrize(("std", "gamma"), [(0.05, 16.972), (0.10, 6.937), (12**-0.5, 0.0)])
def test_gamma_is_the_exponent_whose_profile_is_so_wide(std, gamma):
  assert gamma_of(std) == pytest.approx(gamma, abs=1e-3)
  assert relative_std_of(gamma_of(std)) == pytest.approx(std, rel=1e-9)
  t, weight = (np.arange(10**5) + 0.5) / 10**5, shares(10**5, gamma_of(std))
  assert weight.sum() == pytest.approx(1)
  assert np.sqrt(weight @ t**2 - (weight @ t) ** 2) == pytest.approx(std, rel=1e-6)


@pytest.mark.parametrize("std", [0.0, -0.1, 0.3, float("nan")])
def test_a_width_that_no_exponent_has_is_refused(std):
  with pytest.raises(UserError, match="relative standard deviation"):
    gamma_of(std)


def test_tracks_are_the_weighted_sums_they_stand_for():
  ema, steps = Ema(tracks=(0.05, 0.20), snapshots=1), 300
  path = np.random.default_rng(0).standard_normal((steps, 3)).cumsum(0).astype(np.float32)

  def body(tracks, at):
    return ema.follow(tracks, {"w": path_[at]}, at), None

  path_ = jnp.asarray(path)
  # Whatever they begin with, the first step replaces it.
  start = jax.tree.map(lambda x: x + 7, ema.start({"w": path_[0]}))
  tracks, _ = jax.lax.scan(body, start, jnp.arange(steps))
  for std, track in zip(ema.tracks, tracks, strict=True):
    want = shares(steps, gamma_of(std)) @ path.astype(np.float64)
    np.testing.assert_allclose(track["w"], want, rtol=3e-6, atol=3e-6)


def test_a_late_step_s_share_is_exact_in_float32():
  ema, step = Ema(tracks=(0.05, 0.10), snapshots=1), 10**6 - 1
  tracks = ema.follow(ema.start({"w": jnp.zeros(())}), {"w": jnp.ones(())}, jnp.int32(step))
  for std, track in zip(ema.tracks, tracks, strict=True):
    want = -np.expm1((gamma_of(std) + 1) * np.log1p(-1e-6))
    np.testing.assert_allclose(track["w"], want, rtol=1e-6)


def test_snapshots_are_evenly_spaced_to_the_end():
  assert Ema(snapshots=4).snapshot_steps(100) == {25, 50, 75, 100}
  assert sorted(Ema(snapshots=6).snapshot_steps(40)) == [7, 14, 20, 27, 34, 40]
  assert Ema(snapshots=32).snapshot_steps(3) == {1, 2, 3}
  assert not Ema().snapshot_steps(100)


def test_without_snapshots_no_track_is_kept():
  params = {"w": jnp.ones(3)}
  assert Ema().start(params) == () and Ema().follow((), params, 0) == ()
  assert len(Ema(snapshots=1).start(params)) == 2


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"snapshots": -1}, "ema.snapshots=-1"),
    ({"tracks": ()}, "at least one"),
    ({"tracks": (0.1, 0.1)}, "each once"),
    ({"tracks": (0.1, 0.4)}, "0.4"),
  ],
)
def test_what_cannot_be_kept_is_refused(options, words):
  with pytest.raises(UserError, match=words):
    Ema(**options)
