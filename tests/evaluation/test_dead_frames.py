"""Pictures scored by their futures: planted futures are found, and what tells them."""

import dataclasses
import types

import numpy as np
import pytest

from stale_jax.data.sources.digits import Digits
from stale_jax.errors import UserError
from stale_jax.evaluation.dead_frames import find_dead_frames, mean_speeds, picture_features, predicted
from stale_jax.system import Data


@dataclasses.dataclass
class Planted:
  """A model whose movies move a pixel a frame if they begin with light, and stand still if they do not."""

  source: Digits = dataclasses.field(default_factory=lambda: Digits(canvas=12, frames=4, patch=1))

  def __post_init__(self):
    sight = self.source.senses["sight"]
    self.system = types.SimpleNamespace(data=Data(source=self.source, senses=(sight,)))
    self.frames = self.source.frames

  def sample(self, prompts, seeds, **_):
    assert len(prompts) == len(seeds)
    return {"sight": np.stack([self.source[seed]["clip"]["sight"] for seed in seeds])}

  def rollout(self, prompts, seeds, *, frames, first, how, conditioning_frames):
    assert how == "windows" and conditioning_frames == 1 and first["sight"].shape[1] == 1
    sight = first["sight"][:, 0]
    for _ in range(frames):
      lit = (sight.max((1, 2, 3)) > -0.9)[:, None, None, None]
      sight = np.where(lit, np.roll(sight, 1, 2), sight)
      yield {"sight": sight[:, None]}


@pytest.fixture(scope="module")
def found():
  return find_dead_frames(Planted(), count=6, futures=2)


def test_only_the_blank_pictures_are_dead(found):
  assert (found.kinds["blank"]["most"] < 0.01).all()
  for name in ("real, first", "made, last", "glitch", "noise", "half", "upside down"):
    assert (found.kinds[name]["mean"] > 0.3).all(), name
  assert len(found.pictures) == 6 * len(found.kinds)


def test_the_chain_of_segments_keeps_its_motion(found):
  assert all(part["retention"] == pytest.approx(1, abs=0.15) for part in found.segments)
  assert found.movies.shape == (6, 10, 12, 12, 3)


def test_what_tells_the_motion_is_found():
  rng = np.random.default_rng(0)
  pictures = rng.uniform(-1, 1, (120, 8, 8, 3)) * rng.uniform(0, 1, (120, 1, 1, 1))
  told = picture_features(pictures.astype(np.float32), pictures[:5].astype(np.float32))
  yes = predicted(told, told["contrast"])
  no = predicted(told, rng.permutation(told["contrast"]))
  assert yes["r2"] > 0.9 and yes["spearman"]["contrast"] == 1
  assert no["r2"] < 0.2


def test_features_say_what_is_seen():
  white, dot = np.ones((1, 8, 8, 3), np.float32), -np.ones((1, 8, 8, 3), np.float32)
  dot[0, 0, 0, 0] = 1
  told = picture_features(np.concatenate([white, dot]), white)
  np.testing.assert_allclose(told["luma"], [1, 0.2126 / 64], rtol=1e-5)
  np.testing.assert_allclose(told["saturation"], [0, 1])
  np.testing.assert_allclose(told["at_the_rim"], [28 / 64, 1])
  np.testing.assert_allclose(told["off_centre"], [0, np.hypot(0.5, 0.5)], atol=1e-6)
  assert told["unlike_real"][0] == 0 and told["unlike_real"][1] > 1


def test_the_first_pair_is_a_cut_and_does_not_count():
  still = np.zeros((1, 4, 12, 12, 3), np.float32)
  still[0, 0] = np.random.default_rng(0).uniform(-1, 1, (12, 12, 3))
  assert mean_speeds(still) == pytest.approx(0)


def test_too_few_pictures_are_refused():
  with pytest.raises(UserError, match="at least 2, 1 and 2 are needed"):
    find_dead_frames(Planted(), count=1)


def test_a_model_without_sight_has_none():
  model = Planted()
  model.system.data = Data(source=model.source, senses=(model.source.senses["touch"],))
  with pytest.raises(UserError, match="no sight"):
    find_dead_frames(model, count=2)
