"""Means, errors and differences against NumPy, and how they are written."""

import math

import numpy as np
import pytest

from stale_jax.evaluation.table import ScoreEstimate, differences, estimates, markdown

RNG = np.random.default_rng(0)
CELLS = {row: {seed: {"a": RNG.normal(), "b": RNG.normal()} for seed in range(3)} for row in ("x", "y", "z")}


def test_means_errors_and_paired_differences():
  means, apart = estimates(CELLS), differences(CELLS)
  assert list(means) == ["x", "y", "z"] and list(apart) == ["y", "z"]
  for row in CELLS:
    for score in ("a", "b"):
      values, base = (np.array([CELLS[r][s][score] for s in range(3)]) for r in (row, "x"))
      assert means[row][score].mean == pytest.approx(values.mean())
      assert means[row][score].error == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
      if row != "x":
        assert apart[row][score].mean == pytest.approx((values - base).mean())
        assert apart[row][score].error == pytest.approx(np.std(values - base, ddof=1) / np.sqrt(3))


def test_an_unfinished_table_compares_the_seeds_there_are():
  part = {"x": {0: {"a": 1.0}, 1: {"a": 2.0}}, "y": {0: {"a": 5.0}}}
  (apart,) = differences(part).values()
  assert apart["a"].mean == 4 and math.isnan(apart["a"].error)
  assert differences({"x": {0: {"a": 1.0}}, "y": {1: {"a": 5.0}}}) == {"y": {}}
  assert estimates({}) == differences({}) == {}
  assert "| y | 1 | 5.000 |" in markdown(part, "Why?", "", {})


@pytest.mark.parametrize(
  ("mean", "error", "text"),
  [
    (0.90213, 0.0123, "0.902 ± 0.012"),
    (54.351, 3.21, "54.4 ± 3.2"),
    (-0.0301, 0.021, "-0.030 ± 0.021"),
    (512.3, 41.0, "512 ± 41"),
    (0.5, 0.0, "0.5000 ± 0.0000"),
    (0.0, math.nan, "0.000"),
    (54.3512, math.nan, "54.35"),
  ],
)
def test_digits_follow_the_error(mean, error, text):
  assert str(ScoreEstimate(mean, error)) == text


def test_markdown_has_every_row_score_and_meaning():
  text = markdown(CELLS, "Which?", "base, 3 steps", {"a": "one", "b": "two"})
  lines = text.splitlines()
  assert lines[0] == "# Which?" and "| mean | seeds | a | b |" in lines and "- b: two." in lines
  assert "| minus x, seed by seed | seeds | a | b |" in lines
  assert sum(line.startswith("| y | 3 | ") for line in lines) == 2
