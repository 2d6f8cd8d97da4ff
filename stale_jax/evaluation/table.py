"""A table of scores over rows and seeds: means, standard errors, and differences to the first row."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class ScoreEstimate:
  """A mean and its standard error; the error is NaN for a single value."""

  mean: float
  error: float

  @classmethod
  def of(cls, values: Sequence[float]) -> "ScoreEstimate":
    """The mean of `values` and its standard error, sample standard deviation / sqrt(len(values))."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return cls(float(values.mean()), float(error))

  def __str__(self) -> str:
    """Rounds to two significant digits of the error or, without an error, to four of the mean."""
    scale = (self.error, 1) if self.error > 0 else (abs(self.mean) or 1, 3)
    decimals = max(0, scale[1] - math.floor(math.log10(scale[0])))
    error = "" if math.isnan(self.error) else f" ± {self.error:.{decimals}f}"
    return f"{self.mean:.{decimals}f}{error}"


# row -> seed -> score -> value
Cells = Mapping[str, Mapping[int, Mapping[str, float]]]


def estimates(cells: Cells) -> dict[str, dict[str, ScoreEstimate]]:
  """row -> score -> mean over the row's seeds, for the scores that all seeds have."""
  return {
    row: {score: ScoreEstimate.of([scores[score] for scores in seeds.values()]) for score in _common(seeds)}
    for row, seeds in cells.items()
  }


def differences(cells: Cells) -> dict[str, dict[str, ScoreEstimate]]:
  """row -> score -> mean difference to the first row, for every row but the first.

  Rows are compared seed by seed, over the seeds that both rows have: runs with equal seeds draw the same
  data, and the same initial values of the parameters that both networks have.
  """
  base = next(iter(cells.values()), {})

  def paired(seeds):
    both = {seed: (scores, base[seed]) for seed, scores in seeds.items() if seed in base}
    shared = _common({(seed, i): scores for seed, pair in both.items() for i, scores in enumerate(pair)})
    return {score: ScoreEstimate.of([a[score] - b[score] for a, b in both.values()]) for score in shared}

  return {row: paired(seeds) for row, seeds in list(cells.items())[1:]}


def _common(seeds: Mapping[Any, Mapping[str, float]]) -> list[str]:
  """The scores that every seed has: a cell measured by an earlier version may lack one."""
  first, *others = seeds.values() or [{}]
  return [score for score in first if all(score in scores for scores in others)]


def markdown(cells: Cells, title: str, facts: str, about: Mapping[str, str]) -> str:
  """The table as Markdown: means, differences to the first row, and what each score means.

  Args:
    cells: row -> seed -> score -> value.
    title: heading of the page.
    facts: line below the heading.
    about: score -> what it means.
  """
  means, to_first = estimates(cells), differences(cells)
  scores = list(dict.fromkeys(score for row in means.values() for score in row))

  def lines(name, rows):
    yield f"| {name} | seeds | {' | '.join(scores)} |"
    yield "|---" * (len(scores) + 2) + "|"
    for row, by_score in rows.items():
      values = " | ".join(str(by_score[score]) if score in by_score else "" for score in scores)
      yield f"| {row} | {len(cells[row])} | {values} |"

  parts = [f"# {title}", "", facts, "", *lines("mean", means)]
  if to_first:
    parts += ["", *lines(f"minus {next(iter(cells))}, seed by seed", to_first)]
  parts += [
    "",
    "± is one standard error over training seeds.",
    "",
    *(f"- {k}: {text}." for k, text in about.items()),
  ]
  return "\n".join(parts) + "\n"
