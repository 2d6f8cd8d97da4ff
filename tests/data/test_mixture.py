"""Mixtures of sources: shares of batches, examples, exact resumption, configs."""

import collections
import dataclasses

import numpy as np
import pytest

from stale_jax.config import build, resolve
from stale_jax.config.text import lines
from stale_jax.data import Digits, loader
from stale_jax.data.sources.lorenz import Lorenz
from stale_jax.data.sources.mixture import Mixture
from stale_jax.errors import UserError
from stale_jax.run import train
from tests import micro

LONG, SHORT = Digits(canvas=12, frames=8, patch=2), Digits(canvas=16, frames=4, patch=2)
MIXTURE = Mixture(parts=(LONG, SHORT), names=("long", "short"), weights=(3.0, 1.0))
SENSES = tuple(MIXTURE.senses[name] for name in ("sight", "touch"))


def batches(source=MIXTURE, **options):
  return iter(loader(source, SENSES, batch=4, text_length=48, seed=0, **options))


def test_batches_come_by_weight_and_each_from_one_source():
  read = batches()
  frames = [next(read).clip["sight"].shape[1:4] for _ in range(80)]
  assert collections.Counter(frames) == {(8, 12, 12): 60, (4, 16, 16): 20}
  # Evenly spread: every fourth batch.
  assert all(sum(f[0] == 4 for f in frames[i : i + 4]) == 1 for i in range(0, 80, 4))


def test_examples_are_those_of_the_sources():
  size = max(len(LONG), len(SHORT))
  assert len(MIXTURE) == 2 * size
  for index, part, local in ((5, LONG, 5), (size + 7, SHORT, 7)):
    example, want = MIXTURE[index], part[local]
    np.testing.assert_array_equal(example["clip"]["sight"], want["clip"]["sight"])
    assert example["index"] == index and MIXTURE.caption(index) == example["caption"] == want["caption"]


def test_a_shorter_source_is_repeated():
  short = dataclasses.replace(SHORT, size=3)
  mixture = Mixture(parts=(LONG, short), names=("a", "b"), weights=(1.0, 1.0))
  start = len(mixture) // 2
  captions = [mixture.caption(start + i) for i in range(6)]
  assert captions == [short.caption(i % 3) for i in range(6)]


def test_it_resumes_at_the_exact_example_with_other_rows():
  straight = batches()
  for _ in range(5):
    next(straight)
  state = straight.get_state()
  want = [next(straight) for _ in range(8)]
  rows = np.array([1, 3])
  resumed = batches(rows=rows)
  resumed.set_state(state)
  for batch in want:
    part = next(resumed)
    np.testing.assert_array_equal(part.index, batch.index[rows])
    np.testing.assert_array_equal(part.clip["sight"], batch.clip["sight"][rows])


def sources(**weights):
  parts = {
    "long": {"name": "digits", "canvas": 12, "frames": 4, "patch": 2},
    "short": {"name": "digits", "canvas": 12, "frames": 2, "patch": 2},
  }
  return {"name": "mixture", "sources": parts, "weights": weights}


@pytest.mark.system
def test_a_config_mixes_trains_and_prints(tmp_path):
  config = {**micro.config(training__steps=6), "source": sources(long=2.0)}
  experiment = build(config)
  assert experiment.data.source.shares == (2 / 3, 1 / 3) and experiment.data.source.frames == 4
  state = train(config, tmp_path)
  assert int(state.step) == 6 and int(state.skipped.total) == 0
  text = "\n".join(lines(resolve(config)))
  assert "config.source.sources.short.frames = 2" in text and "config.source.weights = {'long': 2.0}" in text


@pytest.mark.parametrize(
  ("source", "words"),
  [
    (sources(lnog=1.0), "source.weights names 'lnog': did you mean 'long'"),
    (sources(long=-1.0), "source.weights"),
    (sources(long=0.0, short=0.0), "give at least one source a weight"),
    ({"name": "mixture", "sources": {"a": {"name": "digist"}}}, "unknown source.sources.a.name 'digist'"),
    ({"name": "mixture", "sources": {"a": {"name": "digits", "canvsa": 3}}}, "source.sources.a"),
  ],
)
def test_what_cannot_be_mixed_is_refused(source, words):
  with pytest.raises(UserError) as error:
    build({**micro.config(), "source": source})
  assert words in str(error.value)


def test_sources_that_do_not_fit_are_named():
  other = dataclasses.replace(SHORT, patch=1)
  with pytest.raises(UserError, match="source.sources.b and .a: sight differs in its channels"):
    Mixture(parts=(LONG, other), names=("a", "b"), weights=(1.0, 1.0))
  # Sources of different senses fit.
  both = Mixture(parts=(LONG, Lorenz()), names=("a", "b"), weights=(1.0, 1.0))
  assert {"sight", "state"} <= both.senses.keys() and both.kind == ""
