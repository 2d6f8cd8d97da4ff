"""A table of scores over rows and seeds: means, standard errors, and differences to the first row."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class ScoreEstimate:
  """A mean and its standard error, which is NaN for a single value."""

  mean: float
  error: float

  @classmethod
  def of(cls, values: Sequence[float]) -> "Estimate":
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return cls(float(values.mean()), float(error))

  def __str__(self) -> str:
    """To two digits of the error, or, where there is none, to four of the mean."""
    scale = (self.error, 1) if self.error > 0 else (abs(self.mean) or 1, 3)
    decimals = max(0, scale[1] - math.floor(math.log10(scale[0])))
    error = "" if math.isnan(self.error) else f" ± {self.error:.{decimals}f}"
    return f"{self.mean:.{decimals}f}{error}"


# row -> seed -> score -> value
Cells = Mapping[str, Mapping[int, Mapping[str, float]]]


def estimates(cells: Cells) -> dict[str, dict[str, ScoreEstimate]]:
  """row -> score -> mean over the row's seeds."""
  return {
    row: {
      score: ScoreEstimate.of([seeds[seed][score] for seed in seeds])
      for score in next(iter(seeds.values()), {})
    }
    for row, seeds in cells.items()
  }


def differences(cells: Cells) -> dict[str, dict[str, ScoreEstimate]]:
  """row, but the first -> score -> mean difference to the first row, over the seeds that both have.

  Two rows share a seed's data, and its draw of what parameters they share, so that they are
  compared seed by seed.
  """
  base = next(iter(cells.values()), {})

  def one(seeds):
    both = [seed for seed in seeds if seed in base]
    scores = [score for score in seeds[both[0]] if score in base[both[0]]] if both else []
    return {score: ScoreEstimate.of([seeds[s][score] - base[s][score] for s in both]) for score in scores}

  return {row: one(seeds) for row, seeds in list(cells.items())[1:]}


def markdown(cells: Cells, title: str, facts: str, about: Mapping[str, str]) -> str:
  """The table as Markdown: the means, the differences to the first row, and what each score means."""
  means, apart = estimates(cells), differences(cells)
  scores = list(dict.fromkeys(score for row in means.values() for score in row))

  def lines(name, rows):
    yield f"| {name} | seeds | {' | '.join(scores)} |"
    yield "|---" * (len(scores) + 2) + "|"
    for row, found in rows.items():
      values = " | ".join(str(found[score]) if score in found else "" for score in scores)
      yield f"| {row} | {len(cells[row])} | {values} |"

  parts = [f"# {title}", "", facts, "", *lines("mean", means)]
  if apart:
    parts += ["", *lines(f"minus {next(iter(cells))}, seed by seed", apart)]
  parts += ["", "± is one standard error over seeds.", "", *(f"- {k}: {text}." for k, text in about.items())]
  return "\n".join(parts) + "\n"
