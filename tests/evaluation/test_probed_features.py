"""The suite `features`: noise is fixed, the caption is hidden, test labels choose nothing."""

import jax
import numpy as np
import pytest

from stale_jax.errors import UserError
from stale_jax.evaluation.features import (
  Sweep,
  evaluate_features,
  labelled_splits,
  maps,
  pooled_features,
  probe_label,
  sweep,
)
from stale_jax.media import heat_maps
from stale_jax.testing.models import drawn
from tests import micro

TIMES = (0.1, 0.8)


@pytest.fixture(scope="module")
def model():
  return drawn(micro.config(model__depth=2))


@pytest.fixture(scope="module")
def splits(model):
  return labelled_splits(model, 24)


def test_splits_are_disjoint(model, splits):
  train, validation, test = splits
  assert [len(part.index) for part in splits] == [96, 24, 24]
  assert not set(train.index) & set(validation.index)
  source = model.source.test_split(0)
  np.testing.assert_array_equal(test.clip["sight"][3], source[3]["clip"]["sight"])
  assert set(train.clip) == {"sight"} and train.labels["digit"].sum(1).tolist() == [1] * 96


def test_a_clip_s_features_are_its_own(model, splits):
  key, test = jax.random.key(0), splits.test
  x = pooled_features(model, test, 0.5, key)
  assert x.shape == (2, 24, 32)
  np.testing.assert_array_equal(x, pooled_features(model, test, 0.5, key))
  rows = slice(5, 7)
  few = test._replace(clip={"sight": test.clip["sight"][rows]}, text=test.text[rows], index=test.index[rows])
  np.testing.assert_allclose(pooled_features(model, few, 0.5, key), x[:, 5:7], atol=1e-5)
  assert np.abs(pooled_features(model, test, 0.5, jax.random.key(1)) - x).max() > 1e-2
  # Noise of two times is independent, not the same noise scaled: at almost equal times, features differ.
  assert np.abs(pooled_features(model, test, 0.5001, key) - x).max() > 1e-2


def test_the_caption_is_hidden(model, splits):
  key, other = jax.random.key(0), splits.test._replace(text=splits.test.text[::-1])
  both = [pooled_features(model, part, 0.5, key) for part in (splits.test, other)]
  np.testing.assert_array_equal(*both)
  leaking = [pooled_features(model, part, 0.5, key, see_captions=True) for part in (splits.test, other)]
  assert np.abs(leaking[0] - leaking[1]).max() > 1e-3


def test_probes_find_what_is_there_and_nothing_else(model):
  splits = labelled_splits(model, 100)
  inputs = [part.labels["digit"] @ np.arange(10.0)[:, None] for part in splits]
  inputs = [np.concatenate([x == d for d in range(10)], 1).astype(float) for x in inputs]
  assert probe_label(splits, "digit", inputs) == (1.0, 1.0)
  rng = np.random.default_rng(0)
  assert max(probe_label(splits, "digit", [rng.standard_normal((len(x), 10)) for x in inputs])) < 0.3
  # Clips whose label is unknown are left out.
  unknown = splits.test.labels["digit"].copy()
  unknown[:50] = False
  blind = splits._replace(test=splits.test._replace(labels={**splits.test.labels, "digit": unknown}))
  wrong = [*inputs[:2], np.where(np.arange(100)[:, None] < 50, 0, inputs[2])]
  assert probe_label(blind, "digit", wrong)[1] == 1.0


def test_the_best_cell_is_that_of_the_validation_clips():
  validation, test = np.array([[0.1, 0.7], [0.2, 0.3]]), np.array([[0.9, 0.4], [0.8, 0.5]])
  assert Sweep(validation, test).best == (0, 1)


def test_the_suite_is_the_sweep(model):
  scores, clip = evaluate_features(model, clips=24, seed=3, times=TIMES)
  assert clip is None and scores == evaluate_features(model, clips=24, seed=3, times=TIMES)[0]
  splits = labelled_splits(model, 24, 3)
  for name, found in sweep(model, splits, TIMES, 3).items():
    np.testing.assert_allclose(scores["grid"][name], found.test, atol=1e-4)
    block, time = found.best
    assert scores["best"][name] == {"block": block, "time": TIMES[time]}
    assert scores[f"accuracy/{name}"] == found.test[block, time]
    assert found.validation.shape == found.test.shape == (2, 2)
  assert scores["chance/digit"] == 0.1 and scores["train_clips"] == 96
  drawn_map = heat_maps(**maps(scores))
  assert drawn_map.count('class="best"') == 4 and drawn_map.count('class="cell"') == 16
  assert all(f">{name}<" in drawn_map for name in scores["grid"])


def test_misuse_is_one_line(model):
  with pytest.raises(UserError, match="clips=1: at least 2 are needed"):
    evaluate_features(model, clips=1)
  source = {"name": "lorenz", "frames": 8, "patch": 4}
  unlabelled = {**micro.config(), "source": source, "senses": ("state",), "objective": {}}
  with pytest.raises(UserError, match="a source with labels, such as 'digits'"):
    evaluate_features(drawn(unlabelled))
