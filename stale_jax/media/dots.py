"""Scores of several rows as an SVG: a panel per score, a dot per seed, and the mean with its error bar."""

import html
import math
from collections.abc import Mapping
from typing import Any

_LABELS, _PANEL, _GAP, _ROW, _HEAD, _FOOT = 150, 200, 28, 24, 34, 26  # Pixels.
_ACROSS = 4  # Panels side by side.
_STYLE = (
  "text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#64646f}.title{font-weight:600}"
  ".axis{stroke:#8888933a}.seed{fill:#6b84a3;opacity:.45}.mean{fill:#7c66dc}.error{stroke:#7c66dc;stroke-width:2}"
  "@media (prefers-color-scheme:dark){text{fill:#a0a0ac}}"
)


def dots(
  values: Mapping[str, Mapping[int, Mapping[str, float]]], means: Mapping[str, Mapping[str, Any]]
) -> str:
  """Draws the scores as a standalone SVG; the docstring of this module describes it.

  Args:
    values: row -> seed -> score -> value.
    means: row -> score -> a `ScoreEstimate`: mean, and standard error over seeds, NaN if unknown.
  """
  scores = list(dict.fromkeys(score for row in means.values() for score in row))
  bands = [scores[start : start + _ACROSS] for start in range(0, len(scores), _ACROSS)]
  width, height = _LABELS + _ACROSS * (_PANEL + _GAP), _HEAD + len(values) * _ROW + _FOOT
  parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(bands) * height}" '
    f'viewBox="0 0 {width} {len(bands) * height}">',
    f"<style>{_STYLE}</style>",
  ]
  for band, names in enumerate(bands):
    parts.append(f'<g transform="translate(0 {band * height})">')
    for i, row in enumerate(values):
      parts.append(f'<text x="{_LABELS - 14}" y="{_y(i) + 4:g}" text-anchor="end">{html.escape(row)}</text>')
    for panel, score in enumerate(names):
      seeds = [[scores[score] for scores in row.values() if score in scores] for row in values.values()]
      left = _LABELS + panel * (_PANEL + _GAP)
      parts += _panel(left, score, seeds, [means[row].get(score) for row in values])
    parts.append("</g>")
  return "".join([*parts, "</svg>"]) + "\n"


def _y(row: int) -> float:
  return _HEAD + (row + 0.5) * _ROW


def _panel(left: float, score: str, values, means):
  """Panel of one score: its name, its dots, and marks at the smallest and the largest value."""
  ends = [m.mean + side * m.error for m in means if m and not math.isnan(m.error) for side in (-1, 1)]
  shown = [x for row in values for x in row] + ends
  low, high = (min(shown), max(shown)) if shown else (0, 1)
  room = (high - low) * 0.06 or abs(high) * 0.05 or 1
  bottom = _HEAD + len(values) * _ROW

  def x(value):
    return left + _PANEL * (value - low + room) / (high - low + 2 * room)

  yield f'<text class="title" x="{left}" y="18">{html.escape(score)}</text>'
  for value in sorted({low, high}):
    yield f'<path class="axis" d="M{x(value):.1f} {_HEAD}V{bottom}"/>'
    anchor = "middle" if low == high else "start" if value == low else "end"
    yield f'<text x="{x(value):.1f}" y="{bottom + 16}" text-anchor="{anchor}">{value:.3g}</text>'
  for row, (seeds, mean) in enumerate(zip(values, means, strict=True)):
    y = _y(row)
    yield f'<path class="axis" d="M{left} {y:g}H{left + _PANEL}"/>'
    yield from (f'<circle class="seed" cx="{x(value):.1f}" cy="{y:g}" r="3"/>' for value in seeds)
    if mean is None:
      continue
    if not math.isnan(mean.error):
      ends = (x(mean.mean + side * mean.error) for side in (-1, 1))
      yield '<path class="error" d="M{:.1f} {y:g}H{:.1f}"/>'.format(*ends, y=y)
    yield f'<circle class="mean" cx="{x(mean.mean):.1f}" cy="{y:g}" r="4.5"><title>{mean}</title></circle>'
