"""Cuts are found to the picture; fades, flashes and fast pans are none."""

import numpy as np
import pytest

from stale_jax.data.curate.cuts import cuts
from stale_jax.data.curate.examine import clip_windows
from stale_jax.testing.scenes import GOOD, RATE, scene


def small(kind, seed, seconds=1.2):
  return scene(kind, seconds, seed, 72, 128)


@pytest.mark.parametrize("seed", range(3))
def test_cuts_between_scenes_are_found_to_the_picture(seed):
  kinds = np.random.default_rng(seed).permutation([*GOOD, "static", "text"])[:6]
  scenes = [small(str(kind), 10 * seed + i) for i, kind in enumerate(kinds)]
  want = np.cumsum([len(frames) for frames in scenes])[:-1].tolist()
  assert cuts(iter(np.concatenate(scenes)), RATE) == want


@pytest.mark.parametrize("kind", [*GOOD, "static", "dark", "credits"])
def test_one_scene_has_no_cut(kind):
  assert cuts(small(kind, 7, 2), RATE) == []


def test_a_lost_picture_is_no_cut():
  frames = small("pan", 1, 2)
  frames[20] = 0
  assert cuts(frames, RATE) == []


def test_few_pictures_are_no_error():
  frames = small("pan", 1)
  for n in (0, 1, 2, 5):
    assert cuts(frames[:n], RATE) == []
  joined = np.concatenate([frames[:6], small("fast", 2)[:3]])
  assert cuts(joined, RATE) == [6]


def test_clips_lie_between_cuts_and_none_is_too_long():
  got = clip_windows([24, 48, 50], 24 * 20, 24, 8)
  assert got[:2] == [(0.0, round(22 / 24, 4)), (round(26 / 24, 4), round(46 / 24, 4))]
  assert len(got) == 5 and got[-1][1] == 20  # Nothing is left of the two pictures between 48 and 50.
  assert all(end - start <= 8 for start, end in got) and got[2][1] == got[3][0]
