"""What cartoons show: every label is visible, and figures stay in the picture."""

import dataclasses

import numpy as np
import pytest

from stale_jax.data.sources.cartoons.body import draw_figure
from stale_jax.data.sources.cartoons.film import film
from stale_jax.data.sources.cartoons.labels import LABELS
from stale_jax.data.sources.cartoons.pen import Pen, scaled
from tests.data.takes import take

# An action in which a factor is visible. The default is "walks".
SHOWS = {"character2": "dances_with", "colour2": "dances_with", "camera": "waves"}


def pictures(side=64, frames=8, **names):
  return film(take(**names), side, side, frames, 4.0)


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("factor", LABELS)
def test_each_class_looks_different(factor, side):
  action = {"action": SHOWS.get(factor, "walks")} if factor != "action" else {}
  clips = {name: pictures(side, **action, **{factor: name}) for name in LABELS[factor]}
  for name, clip in clips.items():
    others = [np.abs(clip - other.astype(float)).max(-1) > 24 for x, other in clips.items() if x != name]
    # At least so many pixels differ clearly, in some frame.
    assert min(different.sum((1, 2)).max() for different in others) > (side / 64) ** 2 * 12, name


@pytest.mark.parametrize("factor", ["skin", "hair", "build", "colour", "character", "prop"])
def test_a_factor_of_the_figure_changes_only_the_figure(factor):
  common = {"character": "girl", "action": "walks", "scene": "city"}
  one, two = (pictures(**common | {factor: LABELS[factor][i]}) for i in (1, 2))
  changed = (one != two).any(-1)
  assert changed.any((1, 2)).all()
  assert changed.mean() < 0.2
  columns = [np.flatnonzero(frame.any(0)) for frame in changed]
  assert max(found[-1] - found[0] for found in columns) < 36  # It does not change at two places.


def test_skins_are_those_of_nobody():
  from stale_jax.data.sources.cartoons.cast import SKINS

  assert all(min(skin) >= 130 and max(skin) >= 220 for skin in SKINS.values())


def test_the_scenery_stands_still_if_the_camera_does():
  clip = pictures(action="waves", scene="museum")
  still = (clip == clip[:1]).all((0, 3))
  moving = pictures(action="waves", scene="museum", camera="moves")
  assert still.mean() > 0.85 > 0.6 > (moving == moving[:1]).all((0, 3)).mean()


def test_layers_far_away_move_less():
  """A camera that follows a runner: the middle of the sky changes least, the floor most."""
  clip = film(take(action="runs", scene="city", camera="moves", direction="right"), 64, 64, 2, 8.0).astype(
    int
  )
  changed = np.abs(clip[1] - clip[0]).max(-1) > 8
  assert changed[:12].mean() < 0.05 < changed[30:48].mean()


def beyond(figures, time) -> float:
  """By how many units figures exceed a square picture; negative for the distance to its edges."""
  found = []
  for pen in (Pen(64, 192), Pen(128, 64)):
    blank = (1, 2, 3)
    pen.canvas[:] = blank
    for actor, pose, ground, facing, _ in figures:
      bare = dataclasses.replace(pose, spell=None)
      draw_figure(pen, actor, bare, ground, facing, "none", time)
    drawn = (pen.canvas != blank).any(-1)
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    found += [-pen.top - rows[0] / pen.scale] if pen.top else []
    if pen.half_width > 32:
      found += [(columns[-1] + 1) / pen.scale - pen.half_width - 32]
      found += [pen.half_width - 32 - columns[0] / pen.scale]
  return max(found)


@pytest.mark.parametrize("duration", [2.0, 5.0])
@pytest.mark.parametrize("action", LABELS["action"])
def test_figures_stay_in_the_picture(action, duration):
  names = ("lumberjack", "wizard", "sailor", "builder", "girl")
  worst = -np.inf
  for seed in range(10):
    shot = take(
      seed,
      duration,
      character=names[seed % 5],
      character2=names[(seed + 2) % 5],
      action=action,
      build="stout",
      direction=LABELS["direction"][seed % 2],
      camera=LABELS["camera"][seed // 5],
    )
    for time in np.arange(seed % 3 / 24, duration, duration / 9):
      worst = max(worst, beyond(shot.figures(time), time))
  assert worst <= 0.25


def test_figures_outside_are_found():
  shot = take(action="waves")
  figure = shot.figures(0.0)[0]
  assert beyond((figure,), 0.0) < 0
  assert beyond((figure._replace(ground=28 + 57j),), 0.0) > 1
  assert beyond((figure._replace(ground=20j),), 0.0) > 1


def test_frames_compose_as_maps_do():
  point, one, two = 3 - 2j, scaled(2, -1, 4 + 1j, 0.3), scaled(-1, 3, 2j, 1.1)
  assert abs(one.after(two)(point) - one(two(point))) < 1e-12
  np.testing.assert_allclose(scaled(2, 3, 1j)(np.array([1 + 1j])), [2 + 4j])
