"""Scores by row and column as an SVG with a heat map per label."""

import html
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

_LEFT, _CELL, _ROW, _HEAD, _FOOT, _GAP = 62, 42, 22, 34, 34, 30  # Pixels.
_STYLE = (
  "text{font:11px ui-sans-serif,system-ui,sans-serif;fill:#64646f}.title{font-weight:600;font-size:12px}"
  "rect{fill:#7c66dc}.best{fill:none;stroke:#e08a1e;stroke-width:2}.cell{text-anchor:middle;fill:#1c1c22}"
  "@media (prefers-color-scheme:dark){text{fill:#a0a0ac}.cell{fill:#fff}}"
)


def heat_maps(
  grids: Mapping[str, Float[np.ndarray, "rows columns"]],
  best: Mapping[str, tuple[int, int]],
  row: str,
  columns: Sequence[str],
  axis: str,
) -> str:
  """Draws the maps side by side as a standalone SVG.

  The opacity of a cell grows from the smallest value of its map to the largest.

  Args:
    grids: title -> values.
    best: title -> row and column of the cell that is framed.
    row: name of the rows, which are numbered.
    columns: names of the columns.
    axis: what the columns are.
  """
  rows = max(len(grid) for grid in grids.values())
  panel = _LEFT + len(columns) * _CELL + _GAP
  width, height = len(grids) * panel, _HEAD + rows * _ROW + _FOOT
  parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    f'viewBox="0 0 {width} {height}"><style>{_STYLE}</style>'
  ]
  for number, (title, grid) in enumerate(grids.items()):
    left, values = number * panel + _LEFT, np.asarray(grid, np.float64)
    low, spread = values.min(), max(float(np.ptp(values)), 1e-9)
    parts.append(f'<text class="title" x="{left}" y="{_HEAD - 12}">{html.escape(title)}</text>')
    for i, line in enumerate(values):
      y = _HEAD + i * _ROW
      parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{html.escape(row)} {i}</text>')
      for j, value in enumerate(line):
        x, opacity = left + j * _CELL, 0.06 + 0.7 * (value - low) / spread
        parts.append(
          f'<rect x="{x}" y="{y}" width="{_CELL - 1}" height="{_ROW - 1}" opacity="{opacity:.2f}"/>'
          f'<text class="cell" x="{x + _CELL / 2}" y="{y + 15}">{value:.2f}</text>'
        )
    y, x = np.array(best[title]) * (_ROW, _CELL) + (_HEAD, left)
    parts.append(f'<rect class="best" x="{x}" y="{y}" width="{_CELL - 1}" height="{_ROW - 1}"/>')
    bottom = _HEAD + len(values) * _ROW + 13
    for j, name in enumerate(columns):
      x = left + (j + 0.5) * _CELL
      parts.append(f'<text x="{x}" y="{bottom}" text-anchor="middle">{html.escape(name)}</text>')
    parts.append(f'<text x="{left}" y="{bottom + 15}">{html.escape(axis)}</text>')
  return "".join([*parts, "</svg>"]) + "\n"
