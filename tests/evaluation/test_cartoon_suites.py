"""The suites of cartoons: real clips that pose as generated ones score as real clips, and fakes do not."""

import numpy as np
import pytest

from stale_jax.clip import intensity
from stale_jax.data.sources.cartoons import Cartoons
from stale_jax.data.sources.cartoons.labels import LABELS, held_out
from stale_jax.errors import UserError
from stale_jax.evaluation.cartoons import (
  FACTORS,
  captioned,
  evaluate_cartoons,
  evaluate_composition,
  evaluate_identity,
  evaluate_stories,
)
from stale_jax.evaluation.cartoons.agreement import agreement, captioned_agreement
from stale_jax.evaluation.cartoons.composition import asked_for, has_unseen_pair, has_unseen_triple
from stale_jax.evaluation.cartoons.identity import kept, variance
from stale_jax.evaluation.cartoons.questions import happenings
from stale_jax.evaluation.cartoons.reader import Reading
from stale_jax.testing import cartoon_models
from stale_jax.testing.cartoon_models import (
  Frozen,
  IndependentPanels,
  NearestTrainingClip,
  OnePanel,
  OtherCaption,
  OtherFigures,
  OtherSenses,
  RealClips,
)
from stale_jax.testing.models import drawn
from tests import micro

CLIPS = 150


@pytest.fixture(scope="module")
def read():
  """Clips of all senses, read without a mistake."""
  source = Cartoons(split="test", combinations="all", height=16, width=16)
  examples = [source[index] for index in range(CLIPS)]
  clip = {name: np.stack([e["clip"][name] for e in examples]) for name in source.senses}
  labels = {f: np.array([e["labels"].get(f, len(c)) for e in examples]) for f, c in LABELS.items()}
  events = np.stack([happenings(source.draw(index)[2]) for index in range(CLIPS)])
  nothing = np.zeros((CLIPS, 1))
  return clip, Reading(
    labels=labels, identity=nothing, events=events, balance=clip["balance"], features=nothing
  )


def test_real_senses_agree_with_sight_and_others_do_not(read):
  clip, reading = read
  # Two steps in a row may be one sound.
  real = agreement(clip, reading)
  assert real.pop("sound") > 0.98 and set(real.values()) == {1.0} and len(real) == 4
  others = agreement({name: np.roll(x, 1, 0) for name, x in clip.items()}, reading)
  assert max(others.values()) < 0.6
  still = agreement({name: np.repeat(x[:, :1], 16, 1) for name, x in clip.items()}, reading)
  assert still["touch"] < 0.3 and still["sound"] < 0.7


def test_smell_and_taste_are_compared_with_captions_whatever_is_seen(read):
  clip, reading = read
  wanted = [
    {factor: int(values[number]) for factor, values in reading.labels.items()} for number in range(CLIPS)
  ]
  unseen = {name: x for name, x in clip.items() if name != "sight"}
  assert captioned_agreement(unseen, wanted) == {"smell": 1.0, "taste": 1.0}
  assert max(captioned_agreement(unseen, wanted[1:] + wanted[:1]).values()) < 0.6
  assert captioned_agreement({"sound": clip["sound"]}, wanted) == {}


def test_small_errors_of_the_senses_are_forgiven(read):
  clip, reading = read
  noise = np.random.default_rng(0)
  noisy = {name: x + noise.normal(0, 0.01, x.shape) for name, x in clip.items()}
  real, found = agreement(clip, reading), agreement(noisy, reading)
  assert all(found[name] > real[name] - 0.1 for name in real), found


def test_swapped_ears_and_late_touches_are_noticed(read):
  clip, reading = read
  sound = clip["sound"].reshape(CLIPS, 16, -1, 2)[..., ::-1].reshape(clip["sound"].shape)
  assert agreement({"sound": sound}, reading)["sound"] < 0.75
  late = np.roll(clip["touch"], 1, 1)
  assert intensity(late).max() > 0.5 and agreement({"touch": late}, reading)["touch"] < 0.3


def test_held_out_combinations_are_disjoint():
  source = Cartoons(height=16, width=16)
  groups = asked_for(source, 60)
  assert [len(group) for group in groups.values()] == [60] * 3
  assert not any(held_out(one.labels) for one in groups["seen"])
  assert all(has_unseen_triple(one.labels) for one in groups["triple"])
  assert all(has_unseen_pair(one.labels) and not has_unseen_triple(one.labels) for one in groups["pair"])
  assert not any(held_out(source.draw(index)[0]) for index in range(500))


def test_variance_and_what_is_kept():
  eye = np.eye(3)
  assert variance(eye[[0, 0, 0]]) == 0 and variance(eye[[0, 1]]) == pytest.approx(0.5)

  def reading(*classes):
    labels = dict(zip(("skin", "hair", "build"), np.array(classes).T, strict=True))
    empty = np.zeros((len(classes), 1))
    frames = np.zeros((len(classes), 1, 3))
    return Reading(labels=labels, identity=empty, events=frames > 0, balance=frames, features=empty)

  first, last = reading((0, 1, 2), (0, 1, 2)), reading((0, 1, 2), (0, 0, 1))
  np.testing.assert_allclose(kept(first, last), [1, 1 / 3])


@pytest.mark.parametrize("measure", [evaluate_cartoons, evaluate_composition])
def test_other_models_are_refused(measure):
  with pytest.raises(UserError, match="trained on the source 'cartoons'"):
    measure(drawn(micro.config()))


def test_composition_needs_held_out_combinations():
  with pytest.raises(UserError, match="source.combinations='seen'; it is 'all'"):
    evaluate_composition(RealClips(source=Cartoons(combinations="all")))


@pytest.fixture(scope="module", autouse=True)
def few_real_clips():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(captioned, "_REAL", 64)
    # As many as the suite compares clips with.
    patch.setattr(cartoon_models, "_TRAINING_CLIPS", captioned._AGAINST * 32)
    yield


@pytest.fixture(scope="module")
def honest(few_real_clips):
  return evaluate_cartoons(RealClips(), clips=32)[0]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.system
class TestRealClipsAndFakes:
  def test_real_clips_score_as_real_clips(self, honest):
    real = honest["real"]
    for name in (*FACTORS, "mean", "sense_f1", "liveliness"):
      assert honest[name] == pytest.approx(real[name], abs=0.1), name
    assert honest["mean"] > 0.95
    assert honest["nearest_train"] == pytest.approx(1, abs=0.1)
    assert {"kid", "kid_floor", "sense_f1_each", "clips"} <= set(honest)

  def test_clips_of_other_captions_fail(self, honest):
    found = evaluate_cartoons(OtherCaption(), clips=32)[0]
    assert found["mean"] < 0.45 and found["character"] < 0.35

  def test_a_frozen_frame_fails(self, honest):
    found = evaluate_cartoons(Frozen(), clips=32)[0]
    assert found["action"] < 0.6 and found["liveliness"] < 0.05 < honest["liveliness"]
    assert found["sense_f1_each"]["touch"] < honest["sense_f1_each"]["touch"] - 0.2
    assert found["kid"] > 2 * honest["kid"]

  def test_training_clips_are_found_out(self):
    found = evaluate_cartoons(NearestTrainingClip(), clips=32)[0]
    assert found["nearest_train"] < 0.2

  def test_senses_of_other_clips_fail(self, honest):
    found = evaluate_cartoons(OtherSenses(), clips=32)[0]
    assert found["character"] == honest["character"]
    assert found["sense_f1"] < honest["sense_f1"] - 0.3

  def test_unseen_combinations(self):
    real, _ = evaluate_composition(RealClips(), clips=48)
    assert real["triple"] == pytest.approx(real["real"]["triple"], abs=0.25)
    assert real["triple_seen"] == pytest.approx(real["real"]["triple_seen"], abs=0.2)
    copies, _ = evaluate_composition(NearestTrainingClip(), clips=48)
    assert copies["triple"] < 0.4 and copies["pair"] < 0.4

  def test_stories_of_one_figure(self):
    real, panels = evaluate_stories(RealClips(), stories=8)
    assert real["ratio"] < 0.85 and abs(real["lost"]) < 0.1 and len(panels["sight"]) == 24
    alone, _ = evaluate_stories(IndependentPanels(), stories=8)
    assert alone["ratio"] == 1 and alone["lost"] == 0
    one, _ = evaluate_stories(OnePanel(), stories=8)
    assert one["ratio"] < 0.2 and one["lost"] > 0.03

  def test_long_movies(self):
    settings = {"windows": 3, "clips": 6}
    real, _ = evaluate_identity(RealClips(), **settings)
    assert real["liveliness"] == pytest.approx(real["real"]["liveliness"], abs=0.15)
    frozen, _ = evaluate_identity(Frozen(), **settings)
    assert frozen["liveliness"] < 0.05
    others, _ = evaluate_identity(OtherFigures(), **settings)
    assert others["identity"] < real["identity"] - 0.05
