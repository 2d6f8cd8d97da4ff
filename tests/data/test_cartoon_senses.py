"""The senses of cartoons follow the rules that `senses` states, computed here once more from the events."""

import math

import numpy as np
import pytest

from stale_jax.clip import intensity
from stale_jax.data import Cartoons
from stale_jax.data.sources.cartoons.events import events
from stale_jax.data.sources.cartoons.labels import LABELS
from stale_jax.data.sources.cartoons.senses import CHANNELS, PITCHES, TASTES, senses
from tests.data.takes import take

SOURCE = Cartoons(combinations="all")


def sensed(shot, frames=16, rate=8.0):
  """sense -> channel -> intensities."""
  values = senses(shot, frames, rate, 32.0)
  return {s: dict(zip(CHANNELS[s], intensity(x).T, strict=True)) for s, x in values.items()}


def fading(impulses, frames, rate):
  """The intensity in each frame: impulses (time, strength) fade once begun, and the strongest counts."""
  out = np.zeros(frames)
  for frame in range(frames):
    for time, strength in impulses:
      begun = int(time * rate + 1e-6)
      if frame >= begun:
        out[frame] = max(out[frame], strength / 2 ** (8 * (frame - begun) / rate))
  return out


@pytest.mark.parametrize("rate", [8.0, 12.0])
def test_steps_are_heard_where_they_are(rate):
  frames = int(2 * rate)
  for seed, scene in enumerate(("museum", "forest", "city")):
    shot = take(seed, action="walks", scene=scene, character="cop", direction=("left", "right")[seed % 2])
    heard = sensed(shot, frames, rate)["sound"]
    floor = {"museum": 1.0, "forest": 0.4, "city": 0.7}[scene]
    for ear, side in (("left", -1), ("right", 1)):
      impulses = []
      for event in events(shot):
        place = shot.figures(event.time)[0].ground.real / 32
        gain = math.cos(math.pi / 4 * (1 - side * place))
        impulses.append((event.time, event.strength * floor * gain))
      np.testing.assert_allclose(heard[f"step {ear}"], fading(impulses, frames, rate), atol=1e-5)
    silent = {x for x in heard if not x.startswith("step")}
    assert all(not heard[x].any() for x in silent)


def test_a_step_moves_from_ear_to_ear_with_the_walker():
  heard = sensed(take(action="walks", direction="right"))["sound"]
  left, right = heard["step left"], heard["step right"]
  assert left[:4].max() > right[:4].max() and right[-4:].max() > left[-4:].max()


def test_loud_floors_and_heavy_characters_are_loud():
  def loudness(**names):
    return sensed(take(action="walks", **names))["sound"]["step left"].max()

  assert loudness(scene="museum") == pytest.approx(2.5 * loudness(scene="desert"), rel=1e-4)
  assert loudness(scene="stage") > loudness(scene="city") > loudness(scene="forest")
  assert loudness(character="lumberjack") > loudness(character="fairy")


def test_an_impulse_is_halved_each_eighth_of_a_second():
  for rate in (4.0, 8.0, 16.0):
    chime = sensed(take(action="casts"), int(2 * rate), rate)["sound"]["chime left"]
    first = int(chime.argmax())
    after = chime[first : first + 3]
    np.testing.assert_allclose(after[1:] / after[:-1], 0.5 ** (8 / rate), rtol=2e-3)
    assert not chime[:first].any() and 0.5 <= first / rate <= 0.85


def test_kinds_of_sound_belong_to_actions():
  belongs = {
    "landing": {"jumps"},
    "chime": {"casts", "to_car", "from_car"},
    "motor": {"to_car", "from_car"},
    "whoosh": {"throws", "cartwheels", "twirls"},
    "step": {"walks", "runs", "sneaks", "chases", "cartwheels", "dances", "dances_with"},
  }
  for action in LABELS["action"]:
    heard = sensed(take(action=action, scene="city"))["sound"]
    for kind, actions in belongs.items():
      assert (heard[f"{kind} left"].any() and heard[f"{kind} right"].any()) == (action in actions), (
        action,
        kind,
      )


def test_a_motor_runs_while_there_is_a_car():
  for action in ("to_car", "from_car"):
    shot = take(action=action)
    heard = sensed(shot)["sound"]
    power = np.hypot(heard["motor left"], heard["motor right"])
    cars = [shot.pose(0, frame / 8).car for frame in range(16)]
    np.testing.assert_array_equal(power > 0, cars)
    assert power[cars].min() >= 0.4 - 1e-6 and power.max() <= 1 + 1e-6
    assert power[-1] == power.max() if action == "to_car" else power[0] == power.max()


def test_music_is_on_the_stage_alone_with_a_note_each_half_second():
  for action in ("waves", "dances"):
    for scene in LABELS["scene"]:
      heard = sensed(take(1, 4.0, action=action, scene=scene), 32)["sound"]
      notes = np.stack([heard[f"{pitch} left"] for pitch in PITCHES])
      np.testing.assert_array_equal(notes, np.stack([heard[f"{pitch} right"] for pitch in PITCHES]))
      assert notes.any() == (scene == "stage")
      if scene == "stage":
        starts = np.flatnonzero(np.isclose(notes.max(0), 0.8))
        assert len(starts) >= 7 and set(np.diff(starts)) == {4}


def test_touch_feels_the_contacts_of_the_first_figure():
  for seed in range(20):
    labels, _, shot = SOURCE.draw(seed)
    action = LABELS["action"][labels["action"]]
    felt = sensed(shot)["touch"]
    for part in CHANNELS["touch"]:
      near = part == f"{LABELS['direction'][labels['direction']]} hand"
      impulses = []
      for event in events(shot):
        own = not event.who and (event.part == part or (event.part == "feet" and part.endswith("foot")))
        if event.kind == "hand_over":
          own = near
        impulses += [(event.time, event.strength)] * own
      want = fading(impulses, 16, 8.0)
      if near:
        for frame in range(16):
          first = shot.figures(frame / 8)[0]
          holds = first.prop != "none" and first.pose.thrown is None
          want[frame] = max(want[frame], 0.25 * holds)
      if action == "dances_with" and part.endswith("hand"):
        want = np.maximum(want, 0.5)
      np.testing.assert_allclose(felt[part], want, atol=1e-5, err_msg=f"{action} {part}")


def test_the_near_hand_holds_the_prop():
  for side in ("left", "right"):
    felt = sensed(take(action="walks", prop="axe", direction=side))["touch"]
    other = {"left": "right", "right": "left"}[side]
    np.testing.assert_allclose(felt[f"{side} hand"], 0.25, atol=1e-6)
    assert not felt[f"{other} hand"].any()


def test_scents_grow():
  scents = {"museum": "polish", "forest": "pine", "stage": "popcorn", "city": "exhaust", "desert": "dust"}
  for scene, scent in scents.items():
    for rate in (8.0, 4.0):
      smelt = sensed(take(action="walks", scene=scene, prop="flower"), 12, rate)["smell"]
      growth = 1 - 0.6 ** (8 * np.arange(12) / rate + 1)
      for name, values in smelt.items():
        np.testing.assert_allclose(values, growth if name in (scent, "rose") else 0, atol=1e-6)
  assert len(set(CHANNELS["smell"])) == len(CHANNELS["smell"]) == 14


def test_each_character_has_its_own_taste():
  tastes = set()
  for character in LABELS["character"]:
    tasted = sensed(take(action="waves", character=character))["taste"]
    assert list(tasted) == list(TASTES) and all(np.ptp(x) == 0 for x in tasted.values())
    tastes.add(tuple(float(x[0]) for x in tasted.values()))
  assert len(tastes) == 12


def balance(**names):
  values = senses(take(**names), 16, 8.0, 32.0)["balance"]
  return dict(zip(CHANNELS["balance"], values.T, strict=True))


def test_balance_is_place_height_and_tilt():
  right, left = (balance(action="runs", direction=side) for side in ("right", "left"))
  assert (np.diff(right["x"]) > 0).all() and (np.diff(left["x"]) < 0).all()
  np.testing.assert_allclose(right["tilt"], math.sin(0.32), atol=1e-6)
  np.testing.assert_allclose(left["tilt"], -math.sin(0.32), atol=1e-6)
  jump = balance(action="jumps")
  assert jump["height"].min() == -1 and jump["height"].max() > 0
  assert (balance(action="waves")["height"] == -1).all()
  wheel = balance(action="cartwheels")["tilt"]
  assert wheel.max() > 0.9 and wheel.min() < -0.9


def test_all_values_lie_in_range_and_senses_know_the_seen_clip():
  for index in range(40):
    for sense, values in SOURCE[index]["clip"].items():
      assert np.abs(values).max() <= 1 and values.dtype == np.float32, sense
