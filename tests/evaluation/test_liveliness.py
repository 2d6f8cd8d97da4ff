"""Liveliness is calibrated on movies whose motion is known, and is measured as they come."""

import tracemalloc
import types

import numpy as np
import pytest

from stale_jax.data import Digits, Lorenz
from stale_jax.data.sources.digits import LABELS
from stale_jax.errors import UserError
from stale_jax.evaluation import SUITES, Liveliness, evaluate_liveliness, rollouts
from stale_jax.evaluation.liveliness import Curve
from stale_jax.evaluation.motion import frame_motion
from stale_jax.system import Data
from stale_jax.testing import moving

FRAMES, W = 48, moving.WINDOW
MAKE = {
  "digits 16": lambda pace, seed: moving.digits(pace, 3, seed, 16),
  "digits 12": lambda pace, seed: moving.digits(pace, 6, seed, 12),
  "textures": lambda pace, seed: moving.textures(pace, 2, seed, 40),
}


@pytest.fixture(scope="module", params=sorted(MAKE))
def kind(request):
  make = MAKE[request.param]
  return make, make(moving.steady(FRAMES, 1.0), 1)


def test_what_lives_and_what_does_not(kind):
  make, steady = kind
  assert moving.judge(steady, steady)["liveliness"] >= 0.8
  dead = moving.judge(moving.frozen(steady), steady)
  assert dead["liveliness"] == 0 and dead["dead"] == 1 and dead["dead_run"] == FRAMES - 1
  assert dead["flicker"] == 1 and dead["collapsed"] == 1 and dead["clips_bits"] == 0
  for noise in (0.1, 0.5):
    shaken = moving.judge(moving.flickering(steady, 2, noise), steady)
    assert shaken["liveliness"] <= 0.1 and shaken["explained"] <= 0.1 and shaken["looping"] == 0
  assert moving.judge(moving.blinking(steady, 3), steady)["liveliness"] <= 0.1


def test_half_the_speed_is_half_alive(kind):
  make, steady = kind
  slower = moving.judge(make(moving.halved(FRAMES, 2.0), 4), steady)
  assert 0.4 <= slower["liveliness"] <= 0.6 and slower["retention"] == pytest.approx(0.5, abs=0.1)
  assert slower["dead"] == 0


@pytest.mark.parametrize("half_life", [12, 20])
def test_slowing_down_is_dated(kind, half_life):
  make, steady = kind
  found = moving.judge(make(moving.slowing(FRAMES, 2.0, half_life), 5), steady)
  assert abs(found["half_life"] - half_life) <= W and found["collapsed"] == 1
  assert found["retention_end"] < 0.35


def test_stopping_is_dated(kind):
  _, steady = kind
  found = moving.judge(moving.frozen(steady, 2 * W), steady)
  assert found["half_life"] == 2 * W and found["dead_run"] == FRAMES - 2 * W
  # Of five windows after the first four are dead.
  assert found["dead"] == pytest.approx(4 / 5) and found["liveliness"] == pytest.approx(0.2, abs=0.03)


def test_real_clips_of_the_source_live():
  for seed in range(2):
    real = moving.real_digits(FRAMES, 4, seed)
    scores = moving.judge(real, real)
    assert scores["liveliness"] >= 0.8 and scores["retention"] >= 0.99 and scores["dead"] == 0
    assert scores["luma_drift"] < 1e-6 and scores["half_life"] is None and scores["collapsed"] == 0


def test_loops_are_found_and_wandering_is_none():
  wandering = moving.textures(moving.steady(FRAMES, 1.5), 2, 6, 32)
  assert moving.judge(wandering, wandering)["looping"] == 0
  # From the second round on every window is one that was before.
  loops = moving.judge(moving.looping(wandering, 12), wandering)
  assert loops["looping"] >= 0.8 and loops["period"] == 12
  # Digits bounce, and come back after 8 or 16 frames; in a wide room after 72 or more: nobody remembers.
  real = moving.real_digits(FRAMES, 3, 0)
  found = moving.judge(real, real)
  assert found["looping"] >= 0.6 and found["period"] in (8, 16)
  wide = moving.real_digits(FRAMES, 3, 0, canvas=80)
  assert moving.judge(wide, wide)["looping"] == 0


def test_translation_is_explained_and_measured():
  rng = np.random.default_rng(0)
  for move in ((1, 0), (0, -2), (2, 1)):
    picture = moving.textures(np.zeros(1), 1, 7, 64)[0, 0]
    found = frame_motion(picture[4:-4, 4:-4], np.roll(picture, move[::-1], (0, 1))[4:-4, 4:-4])
    assert found.move == pytest.approx(move, abs=0.1)
    assert found.speed == pytest.approx(np.hypot(*move), abs=0.1) and 1 - found.left / found.all > 0.9
  a, b = rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
  noise = frame_motion(a, b)
  assert noise.change == pytest.approx(np.abs(a - b).mean() / 2, rel=1e-5) and noise.left > 0.85 * noise.all
  still = frame_motion(a, a)
  assert still.change == still.speed == still.dynamic == still.all == 0
  black = frame_motion(np.full((16, 16, 3), -1.0, np.float32), np.full((16, 16, 3), -1.0, np.float32))
  assert black.speed == black.dynamic == black.all == 0


def test_it_does_not_matter_how_the_chunks_are_cut():
  clips = MAKE["digits 16"](moving.slowing(30, 2.0, 20), 8)
  found = []
  for sizes in ([30], [1] * 30, [7, 1, 9, 13]):
    meter, at = Liveliness(W), 0
    for size in sizes:
      meter.add(clips[:, at : at + size])
      at += size
    found.append((meter.scores(), meter.curves(), meter.frames))
  assert found[0] == found[1] == found[2] and len(found[0][1]["retention"]) == 3  # The rest is no window.


def test_drift_is_its_formula():
  light = np.repeat(np.array([0.4, 0.5, 0.3, 0.8, 0.6]), W)
  clip = np.broadcast_to((2 * light - 1)[None, :, None, None, None], (2, 5 * W, 12, 12, 3))
  scores = moving.judge(clip, clip)
  apart = np.abs(np.array([0.4, 0.5, 0.3, 0.8, 0.6]) - 0.4) / 0.4
  assert scores["luma_drift"] == pytest.approx(0.2, abs=1e-6)
  assert scores["luma_drift_sum"] == pytest.approx((apart * [5, 4, 3, 2, 1]).sum() / 15, abs=1e-5)
  assert scores["saturation_drift"] == scores["saturation_drift_sum"] == 0


def test_memory_does_not_grow():
  def peak(windows):
    tracemalloc.start()
    curve = Curve()
    for window in range(windows):
      curve.add(np.full(4, float(window)))
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, curve

  (small, _), (large, curve) = peak(1_000), peak(50_000)
  assert large < 1.2 * small + 10_000
  values, span = curve.shown()
  assert len(values) <= 64 and values[0] == pytest.approx((span - 1) / 2)
  start, end = curve.ends()
  assert start.mean() == pytest.approx(0.075 * 50_000, rel=0.03)
  assert end.mean() == pytest.approx(0.925 * 50_000, rel=0.03)
  meter, clips = Liveliness(2), np.random.default_rng(0).uniform(-1, 1, (2, 4, 12, 12, 3))
  sizes = []
  for _ in range(30):
    meter.add(clips)
    sizes.append(sum(len(x) for x in (meter._small, meter._pairs, meter._pictures)))
  assert max(sizes[15:]) == max(sizes[8:15])


class Stub:
  """A model that shows real clips of the right caption, or spoiled ones."""

  def __init__(self, spoil=lambda sight: sight, source=None, goes_on=False):
    self.source, self.goes_on = source or Digits(), goes_on
    senses = tuple(self.source.senses.values())[:1]
    self.system = types.SimpleNamespace(data=Data(source=self.source, senses=senses))
    self.frames, self._spoil = self.source.frames, spoil

  def sample(self, prompts, seeds, frames):
    source, pool = Digits(split="train", seed=9, frames=frames), {}
    index = 0
    while not set(prompts) <= set(pool):
      example = source[index]
      pool.setdefault(example["caption"], example["clip"]["sight"])
      index += 1
    return {"sight": self._spoil(np.stack([pool[prompt] for prompt in prompts]))}

  def rollout(self, prompts, seeds, frames, sinks):
    assert sinks == 2
    sight = self.sample(prompts, seeds, frames)["sight"]
    for at in range(0, frames, 5):
      yield {"sight": sight[:, at : at + 5]}


class Naive:
  """A reader that always reads the first class, and is fitted in no time."""

  def __init__(self, source):
    assert source.split == "train" and source.frames == 8

  def __call__(self, sight):
    assert sight.shape[1:] == (8, 16, 16, 3)
    return types.SimpleNamespace(labels={name: np.zeros(len(sight), int) for name in LABELS})


@pytest.fixture(autouse=True, scope="module")
def quick_reader():
  patch = pytest.MonkeyPatch()
  patch.setattr(rollouts, "fitted_reader", Naive)
  yield
  patch.undo()


@pytest.fixture(scope="module")
def honest(quick_reader):
  return evaluate_liveliness(Stub(), clips=6, seconds=4)


def test_the_suite_lets_the_living_through(honest):
  scores, clip = honest
  assert scores["counts"] == 1 and scores["notes"] == {}
  assert scores["liveliness"] >= 0.8 and scores["frames"] == scores["real"]["frames"] == 32
  labels = [Digits(split="test")[i]["labels"] for i in range(6)]
  share = np.mean([found[name] == 0 for found in labels for name in ("digit", "colour", "speed")])
  assert scores["caption/first"] == scores["caption/last"] == pytest.approx(share)
  assert clip["sight"].shape == (6, 16, 16, 16, 3)
  assert all(len(curve) == 4 for name, curve in scores["curves"].items() if name != "step")
  # Digits come back, and real ones do so as often.
  assert scores["looping"] == pytest.approx(scores["real"]["looping"], abs=0.2)
  shown = dict((name, (value, real)) for name, value, real, _ in SUITES["liveliness"].shown(scores))
  assert shown["dead"] == (0, 0) and "half_life" not in shown
  titles = [title for title, *_ in SUITES["liveliness"].panels(scores)]
  assert len(titles) == len(set(titles)) == 12


def test_a_rollout_is_followed_as_a_long_sample_is(honest):
  scores, _ = evaluate_liveliness(Stub(goes_on=True), clips=6, seconds=4, sinks=2)
  assert scores == {**honest[0], "rolled_out": True}


def test_no_stability_counts_of_what_has_stopped(honest):
  stopped, _ = evaluate_liveliness(Stub(lambda sight: moving.frozen(sight, 8)), clips=6, seconds=4)
  assert stopped["counts"] == 0 and stopped["flicker"] > honest[0]["flicker"]
  said = {name: text for name, _, _, text in SUITES["liveliness"].shown(stopped)}
  for name in ("flicker", "looping", "luma_drift", "saturation_drift_sum", "caption/last"):
    assert said[name].startswith("does not count: "), name
  assert not said["liveliness"].startswith("does not") and not said["caption/first"].startswith("does not")
  assert said["counts"].startswith("retention 0.00 is less than 0.8 and dead 1.000 is more than 0.000: ")


@pytest.mark.parametrize(
  ("source", "asked", "words"),
  [
    (Digits(), {"seconds": 1}, "more than 1"),
    (Digits(), {"seconds": float("nan")}, "seconds=nan"),
    (Digits(), {"clips": 1}, "clips=1"),
    (Lorenz(), {}, "no sight"),
  ],
)
def test_what_cannot_be_followed_is_refused(source, asked, words):
  with pytest.raises(UserError, match=words):
    evaluate_liveliness(Stub(source=source), **asked)
