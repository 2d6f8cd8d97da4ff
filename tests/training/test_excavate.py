"""Averages dug up from snapshots, against the averages themselves."""

import re

import numpy as np
import pytest

from stale_jax.checkpoints.posthoc_ema import (
  combination,
  drop_snapshots_after,
  excavate,
  find_snapshots,
  save_snapshots,
  weights_of,
)
from stale_jax.errors import UserError
from stale_jax.training.ema import Ema, gamma_of

TRACKS, STEPS = (0.05, 0.10), 1000


def profile(step, std):
  """What each step weighs in the average `std` after `step`, by the recursion's closed form."""
  edges = np.minimum(np.arange(STEPS + 1) / step, 1)
  return np.diff(edges ** (gamma_of(std) + 1))


@pytest.fixture(scope="module")
def path():
  return np.random.default_rng(1).standard_normal((STEPS, 500)).cumsum(0)


def taken(count):
  steps = sorted(Ema(snapshots=count).snapshot_steps(STEPS))
  return [(step, std) for step in steps for std in TRACKS]


def solved(count, std):
  steps, stds = map(np.array, zip(*taken(count), strict=True))
  return combination(steps / STEPS, np.array([gamma_of(s) for s in stds]), gamma_of(std))


@pytest.mark.parametrize("std", [0.07, 0.15])
def test_another_length_is_within_a_hundredth_of_the_nearest_track_s_error(path, std):
  weights, _ = solved(16, std)
  found = weights @ np.stack([profile(*snapshot) @ path for snapshot in taken(16)])
  want = profile(STEPS, std) @ path
  error = np.linalg.norm(found - want)
  assert error < 0.01 * np.linalg.norm(want - path[-1])
  nearest = min(np.linalg.norm(profile(STEPS, track) @ path - want) for track in TRACKS)
  assert error < 0.01 * nearest


def test_a_kept_track_is_its_last_snapshot():
  weights, misfit = solved(16, 0.10)
  want = [snapshot == (STEPS, 0.10) for snapshot in taken(16)]
  np.testing.assert_allclose(weights, want, atol=1e-6)
  assert misfit < 1e-6


@pytest.mark.parametrize(("count", "std"), [(16, 0.03), (16, 0.15), (8, 0.2)])
def test_the_misfit_is_what_is_missing_of_the_profile(count, std):
  weights, misfit = solved(count, std)
  assert weights.sum() == pytest.approx(1, abs=1e-9)
  want = profile(STEPS, std)
  missing = weights @ np.stack([profile(*snapshot) for snapshot in taken(count)]) - want
  assert misfit == pytest.approx(np.linalg.norm(missing) / np.linalg.norm(want), rel=0.02)


def fill(folder, path, count=16):
  for step in sorted(Ema(snapshots=count).snapshot_steps(STEPS)):
    tracks = {std: {"params": {"w": np.float32(profile(step, std) @ path)}} for std in TRACKS}
    save_snapshots(folder, step, tracks, {"seed": 0})


def test_from_files_in_float32(path, tmp_path):
  fill(tmp_path, path)
  snapshots = find_snapshots(tmp_path)
  assert [(s.step, s.std) for s in snapshots] == taken(16)
  found, want = excavate(snapshots, 0.07)["params"]["w"], profile(STEPS, 0.07) @ path
  assert found.dtype == np.float32
  assert np.linalg.norm(found - want) < 0.01 * np.linalg.norm(want - path[-1])
  # What was half-written does not count, nor what is not ours; a later one is dropped, and an earlier is not.
  for name in ("1010_0.05.safetensors.partial", "notes.safetensors"):
    (tmp_path / "snapshots" / name).write_bytes(b"half")
  assert find_snapshots(tmp_path) == snapshots
  drop_snapshots_after(tmp_path, 500)
  assert find_snapshots(tmp_path) == [s for s in snapshots if s.step <= 500] != snapshots
  # The average is then that at the last one that is left.
  half = np.diff(np.minimum(np.arange(STEPS + 1) / 500, 1) ** (gamma_of(0.1) + 1)) @ path
  np.testing.assert_allclose(
    excavate(find_snapshots(tmp_path), 0.1)["params"]["w"], half, rtol=1e-4, atol=1e-4
  )
  damaged = find_snapshots(tmp_path)[-1].path
  damaged.write_bytes(damaged.read_bytes()[:-10])
  with pytest.raises(UserError, match=re.escape(damaged.name)):
    excavate(find_snapshots(tmp_path), 0.07)


def test_what_the_snapshots_do_not_reach_is_refused(path, tmp_path):
  with pytest.raises(UserError, match="no snapshots"):
    weights_of(find_snapshots(tmp_path), 0.07)
  fill(tmp_path, path, 8)
  snapshots = find_snapshots(tmp_path)
  for std in (0.07, 0.10, 0.15):
    assert weights_of(snapshots, std)[1] < 0.05
  for std in (0.01, 0.03, 0.25):
    with pytest.raises(UserError, match="out of reach"):
      weights_of(snapshots, std)
  with pytest.raises(UserError, match="relative standard deviation"):
    weights_of(snapshots, 0.4)
