"""Copies of training clips are told from new clips."""

from types import SimpleNamespace

import numpy as np
import pytest

from stale_jax.data.sources.digits import Digits
from stale_jax.errors import UserError
from stale_jax.evaluation import SUITES
from stale_jax.evaluation.memorisation import evaluate_memorisation

SOURCE = Digits(seed=1)


def model(clips_for, senses=("sight",)):
  """A model whose clips are `clips_for(prompts, seeds)`."""
  system = SimpleNamespace(data=SimpleNamespace(source=SOURCE, senses=[SOURCE.senses[s] for s in senses]))
  return SimpleNamespace(system=system, sample=lambda prompts, seeds: {"sight": clips_for(prompts, seeds)})


def copies(prompts, seeds):
  known = {SOURCE[i]["caption"]: SOURCE[i]["clip"]["sight"] for i in range(8 * len(prompts))}
  return np.stack([known[prompt] for prompt in prompts]) + np.random.default_rng(0).normal(0, 0.01, (1,))


def new(prompts, seeds):
  test = SOURCE.test_split(seed=5)
  return np.stack([test[int(seed)]["clip"]["sight"] for seed in seeds])


def test_copies_are_near_and_have_their_captions():
  scores, clips = evaluate_memorisation(model(copies), clips=16)
  assert scores["nearest"] < 0.05 and scores["caption"] == 1 and scores["caption_chance"] < 0.2
  assert clips["sight"].shape == (16, *np.shape(SOURCE[0]["clip"]["sight"]))


def test_new_clips_are_as_far_as_held_out_ones():
  scores, _ = evaluate_memorisation(model(new), clips=32, seed=100)
  assert 0.85 < scores["nearest"] < 1.15 and scores["caption"] < 0.3


def test_the_scores_are_shown_and_misuse_is_one_line():
  suite = SUITES["memorisation"]
  scores, _ = suite.measure(model(copies), 4, 0)
  assert [name for name, *_ in suite.shown(scores)] == ["nearest", "caption"]
  with pytest.raises(UserError, match="at least 2"):
    suite.measure(model(copies), 1, 0)
  with pytest.raises(UserError, match="with sight"):
    suite.measure(model(copies, senses=("sound",)), 4, 0)
