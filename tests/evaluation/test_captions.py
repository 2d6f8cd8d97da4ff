"""The suite that reads movies back: right on real clips, and not to be fooled."""

import dataclasses
import types

import numpy as np
import pytest

from stale_jax.data.sources.digits import COLOURS, DIGITS, DIRECTIONS, SPEEDS, Digits
from stale_jax.evaluation import evaluate_captions, f1
from stale_jax.evaluation.memorisation import nearest_ratio
from stale_jax.evaluation.reader import LABELS, impacts
from stale_jax.system import Data

# Statistics of many clips.
pytestmark = pytest.mark.system

SENSES = ("sight", "sound", "touch", "smell", "taste", "balance")


class Stub:
  """A model that shows real clips: of the right caption, or spoiled."""

  def __init__(self, split="test", spoil=lambda clip: clip):
    source = Digits()
    self.source = source
    self.system = types.SimpleNamespace(
      data=Data(source=source, senses=tuple(source.senses[name] for name in SENSES))
    )
    self._spoil = spoil
    self._pool = {}
    source = dataclasses.replace(source, split=split, seed=9)
    for i in range(6000):
      example = source[i]
      self._pool.setdefault(example["caption"], []).append(example["clip"])

  def sample(self, prompts, seeds):
    clips = [self._pool[p][s % len(self._pool[p])] for p, s in zip(prompts, seeds, strict=True)]
    return self._spoil({name: np.stack([clip[name] for clip in clips]) for name in SENSES})


@pytest.fixture(scope="module")
def honest():
  return evaluate_captions(Stub())[0]


def test_real_clips_score_high(honest):
  for scores in (honest, honest["real"]):
    assert scores["digit"] >= 0.96 and scores["sense_f1"] >= 0.96
    assert min(scores[name] for name in ("colour", "direction", "speed")) >= 0.99
  assert honest["frechet"] < 3 * honest["frechet_floor"] + 1
  assert abs(honest["kid_floor"]) < 100 and abs(honest["kid"]) < 100
  assert honest["nearest_train"] == pytest.approx(1, abs=0.1)
  assert set(honest) >= {
    *LABELS,
    *("sense_f1", "frechet", "frechet_floor", "kid", "kid_floor", "nearest_train", "real"),
  }


def test_reciting_the_training_set_is_seen():
  assert evaluate_captions(Stub("train"))[0]["nearest_train"] < 0.2


def test_senses_of_another_clip_are_seen(honest):
  def swap(clip):
    return {name: x if name == "sight" else np.roll(x, 1, 0) for name, x in clip.items()}

  scores, _ = evaluate_captions(Stub(spoil=swap))
  assert scores["digit"] == honest["digit"]
  assert max(scores["sense_f1_each"].values()) < 0.6


def test_blank_and_frozen_pictures_are_seen(honest):
  blank, _ = evaluate_captions(Stub(spoil=lambda clip: {**clip, "sight": -np.ones_like(clip["sight"])}))
  assert blank["digit"] < 0.25 and blank["frechet"] > 10 * honest["frechet"]
  assert blank["kid"] > 1000

  def freeze(clip):
    return {**clip, "sight": np.repeat(clip["sight"][:, :1], 8, 1)}

  frozen, _ = evaluate_captions(Stub(spoil=freeze))
  assert frozen["direction"] < 0.6 and frozen["sense_f1_each"]["touch"] < 0.5
  assert frozen["frechet"] > 3 * honest["frechet"] and frozen["kid"] > 200


def test_f1_and_impacts():
  a = np.array([1, 1, 0, 0], bool)
  assert f1(a, a) == 1 and f1(a, ~a) == 0 and f1(a, np.array([1, 0, 1, 0], bool)) == 0.5
  touch = np.array([[-1, 1.0, 0, -0.5]]) * np.ones((3, 1))
  np.testing.assert_array_equal(impacts(touch)[0], [False, True, False, False])


def test_nearest_ratio_by_brute_force():
  rng = np.random.default_rng(0)
  generated, held_out, training = (rng.normal(size=(n, 3)) for n in (6, 7, 8))

  def median(x):
    return np.median([min(np.linalg.norm(row - other) for other in training) for row in x])

  want = median(generated) / median(held_out)
  assert nearest_ratio(generated, held_out, training) == pytest.approx(want)


def test_every_caption_is_asked_for():
  assert len(DIGITS) * len(COLOURS) * len(DIRECTIONS) * len(SPEEDS) == 480
