"""The events of cartoons happen when the drawing shows them."""

import numpy as np
import pytest

from stale_jax.data import Cartoons
from stale_jax.data.sources.cartoons.actions import BEAT, PAIR, SOLO
from stale_jax.data.sources.cartoons.body import figure_frame
from stale_jax.data.sources.cartoons.events import KINDS, Event, beats, events
from stale_jax.data.sources.cartoons.labels import LABELS
from stale_jax.data.sources.cartoons.skeleton import (
  ANKLE,
  ARM,
  HIP,
  SHIN,
  SHOULDERS,
  THIGH,
  direction,
  reach,
)
from tests.data.takes import take

STEP = 1 / 512  # Seconds between two looks at a pose.
SIDES = {"right": ("left", "right"), "left": ("right", "left")}  # Facing -> side of the far and near limbs.


def touchdowns(shot, role, duration):
  """(time, side) at which a foot of a pose reaches the ground, by looking at many poses."""
  times = np.arange(0, duration, STEP)
  heights = np.array([[foot.imag + p.lift for foot in p.feet] for p in (shot.pose(role, t) for t in times)])
  down = heights < 1e-9
  for side in (0, 1):
    for index in np.flatnonzero(down[1:, side] & ~down[:-1, side]):
      yield times[index + 1], side


def of(shot, *kinds, who=0) -> list[Event]:
  return [event for event in events(shot) if event.kind in kinds and event.who == who]


@pytest.mark.parametrize("facing", ["left", "right"])
@pytest.mark.parametrize("action", ["walks", "runs", "sneaks", "dances", "chases", "dances_with"])
def test_steps_are_when_the_drawn_feet_touch_the_ground(action, facing):
  kind = "beat" if action.startswith("dances") else "step"
  for seed in range(3):
    shot = take(seed, 3.0, action=action, direction=facing)
    for role in range(1 + (action in PAIR)):
      opposite = action == "dances_with" and role
      sides = SIDES[facing][::-1] if opposite else SIDES[facing]
      seen = sorted((time, f"{sides[side]} foot") for time, side in touchdowns(shot, role, 3.0))
      stated = [(event.time, event.part) for event in of(shot, kind, who=role) if event.time > STEP]
      assert len(seen) >= 4 and [part for _, part in seen] == [part for _, part in stated]
      assert max(abs(a - b) for (a, _), (b, _) in zip(seen, stated, strict=True)) <= STEP


def test_feet_on_the_ground_are_in_reach_of_the_drawn_legs():
  for action, pose_at in (SOLO | PAIR).items():
    shot = take(3, action=action, build="stout", character="lumberjack")
    for time in np.arange(0, 2, 0.05):
      pose = pose_at(time, shot.timings[0])
      for side, foot in enumerate(pose.feet):
        if foot.imag == 0 and not pose.car and not pose.turn:
          hip = complex((-1.58, 1.58)[side], HIP - pose.dip)
          _, end = reach(hip, foot + 1j * ANKLE, THIGH, SHIN)
          assert abs(end - foot - 1j * ANKLE) < 0.02, (action, time)


def test_landings_are_when_a_jump_ends():
  for seed in range(4):
    shot = take(seed, 3.0, action="jumps")
    seen = sorted(time for time, side in touchdowns(shot, 0, 3.0) if side)
    stated = [event.time for event in of(shot, "landing") if event.time > STEP]
    np.testing.assert_allclose(seen, stated, atol=STEP)
    assert {event.part for event in of(shot, "landing")} == {"feet"}
    assert {event.kind for event in events(shot)} == {"landing"}


@pytest.mark.parametrize("facing", ["left", "right"])
def test_hands_and_feet_of_a_cartwheel_are_lowest_and_near_the_ground_at_their_events(facing):
  shot = take(1, 3.0, action="cartwheels", direction=facing)
  found = of(shot, "hand", "step")
  assert {event.part for event in found} == {"left hand", "right hand", "left foot", "right foot"}
  assert {event.kind for event in events(shot)} == {"hand", "step"}
  for event in found:
    side = SIDES[facing].index(event.part.split()[0])

    def height(time, side=side, part=event.part):
      figure = shot.figures(time)[0]
      hand = 1j * HIP + SHOULDERS[side] + 2 * ARM * direction(figure.pose.arms[side][0])
      limb = hand if part.endswith("hand") else figure.pose.feet[side]
      return (
        figure.ground.imag - figure_frame(figure.actor, figure.pose, figure.ground, figure.facing)(limb).imag
      )

    around = np.arange(event.time - 0.1, event.time + 0.1, STEP)
    lowest = around[np.argmin([height(time) for time in around])]
    assert abs(lowest - event.time) <= 2 * STEP
    assert -1.0 < height(event.time) < 2.5
  # Once a turn, each limb in its turn: a foot, the hands, the other foot.
  order = [event.part.split()[1] for event in found]
  assert "hand hand" in " ".join(order) and "hand hand hand" not in " ".join(order)


def changes(shot, what, duration):
  """The times at which `what(figures)` changes."""
  times = np.arange(0, duration, STEP)
  values = [what(shot.figures(time)) for time in times]
  return [times[i + 1] for i in range(len(times) - 1) if values[i] != values[i + 1]]


def test_a_prop_leaves_the_hand_at_the_release():
  for seed in range(3):
    shot = take(seed, 5.0, action="throws", prop="gem")
    flies = changes(shot, lambda figures: figures[0].pose.thrown is not None, 5.0)
    np.testing.assert_allclose(flies[::2], [event.time for event in of(shot, "release")], atol=STEP)
    assert len(flies) >= 4


def test_stars_appear_at_the_spell():
  shot = take(2, 5.0, action="casts")
  cast = changes(shot, lambda figures: figures[0].pose.spell is not None, 5.0)
  np.testing.assert_allclose(cast[::2], [event.time for event in of(shot, "spell")], atol=STEP)


@pytest.mark.parametrize("action", ["to_car", "from_car"])
@pytest.mark.parametrize("duration", [1.0, 2.0, 6.0])
def test_a_car_appears_or_disappears_once_at_the_transformation(action, duration):
  shot = take(0, duration, action=action)
  (event,) = events(shot)
  np.testing.assert_allclose(
    changes(shot, lambda figures: figures[0].pose.car, duration), event.time, atol=STEP
  )
  assert event.kind == "transform" and event.part == "body"
  assert shot.pose(0, event.time).cloud > 0.99


def test_a_gift_changes_hands_at_its_events_and_comes_back():
  shot = take(0, 5.0, action="gives", prop="vase")
  holders = changes(shot, lambda figures: figures[0].prop == "none", 5.0)
  np.testing.assert_allclose(holders, [event.time for event in events(shot)], atol=STEP)
  assert [(event.kind, event.who) for event in events(shot)] == [("hand_over", who) for who in (0, 1, 0)]
  for time in (0.5, 1.5, 3.5):
    assert sorted(figure.prop for figure in shot.figures(time)) == ["none", "vase"]


def test_quiet_actions_have_no_events():
  assert not events(take(action="waves")) and not events(take(action="twirls"))


def test_events_lie_in_the_clip_in_order_and_know_who():
  source, kinds = Cartoons(combinations="all"), set()
  for index in range(300):
    labels, _, shot = source.draw(index)
    found = events(shot)
    assert found == sorted(found)
    assert all(0 <= event.time < 2 and 0 < event.strength <= 1 and event.kind in KINDS for event in found)
    assert all(event.who < len(shot.actors) for event in found)
    if LABELS["action"][labels["action"]] == "chases":
      assert {event.who for event in found} == {0, 1}
    kinds |= {event.kind for event in found}
  assert kinds == set(KINDS)


def test_those_who_are_heavy_tread_hard():
  def strength(**names):
    return of(take(action="walks", **names), "step")[0].strength

  assert strength(character="lumberjack") > strength(character="girl") > strength(character="fairy")
  assert strength(character="cop", build="stout") > strength(character="cop", build="slim")
  assert strength(character="cop") < of(take(action="runs", character="cop"), "step")[0].strength


def test_dances_keep_time_with_the_music():
  for seed in range(5):
    shot = take(seed, 4.0, action="dances", scene="stage")
    music = [time for time, _ in beats(shot.timings[0])]
    np.testing.assert_allclose(np.diff(music), BEAT)
    np.testing.assert_allclose([event.time for event in of(shot, "beat")], music, atol=1e-9)
