"""Scores over time as an SVG: one panel per score, with the curves of generated and of real clips."""

import html
import math
from collections.abc import Mapping, Sequence

_PANEL, _HEIGHT, _GAP, _HEAD, _FOOT, _TOP = 204, 92, 36, 30, 30, 30  # Pixels.
_LEFT = 30
_ACROSS = 4  # Panels side by side.
_STYLE = (
  "text{font:11px ui-sans-serif,system-ui,sans-serif;fill:#64646f}.title{font-weight:600;font-size:12px}"
  ".axis{stroke:#88889340}.end{stroke:#88889380;stroke-dasharray:2 3}path{fill:none;stroke-linejoin:round}"
  ".a path{stroke:#7c66dc;stroke-width:2}.a circle{fill:#7c66dc}"
  ".b path{stroke:#8a97a8;stroke-width:1.5;stroke-dasharray:5 3}.b circle{fill:#8a97a8}"
  "@media (prefers-color-scheme:dark){text{fill:#a0a0ac}}"
)

# (title, whether the values are shares, name of curve -> (values, None where unknown; seconds per value))
Panel = tuple[str, bool, Mapping[str, tuple[Sequence[float | None], float]]]


def curves(panels: Sequence[Panel], trained: float) -> str:
  """Draws the panels as a standalone SVG with two curves per panel, the second dashed.

  Args:
    panels: see `Panel`. The axis of shares ends at 1, or at the highest value if that is above 1; any other
      axis ends at its highest value.
    trained: length of a training clip, in seconds; a dotted line marks it.
  """
  rows = math.ceil(len(panels) / _ACROSS)
  width, height = _ACROSS * (_LEFT + _PANEL + _GAP) - _GAP, _TOP + rows * (_HEAD + _HEIGHT + _FOOT)
  seconds = max(len(values) * step for _, _, by_label in panels for values, step in by_label.values())
  parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    f'viewBox="0 0 {width} {height}"><style>{_STYLE}</style>'
  ]
  left = _LEFT
  for kind, name in zip("ab", panels[0][2], strict=True):
    parts.append(
      f'<g class="{kind}"><path d="M{left} 12h26"/></g>'
      f'<text x="{left + 34}" y="16">{html.escape(name)}</text>'
    )
    left += 60 + 7 * len(name)
  note = "length of a training clip"
  parts.append(f'<path class="end" d="M{left + 6} 3v18"/><text x="{left + 14}" y="16">{note}</text>')
  for i, panel in enumerate(panels):
    row, column = divmod(i, _ACROSS)
    at = _LEFT + column * (_LEFT + _PANEL + _GAP), _TOP + row * (_HEAD + _HEIGHT + _FOOT) + _HEAD
    parts += _panel(at, panel, seconds, trained)
  return "".join([*parts, "</svg>"]) + "\n"


def _panel(at: tuple[int, int], panel: Panel, seconds: float, trained: float):
  (left, top), (title, share, by_label) = at, panel
  known = [x for values, _ in by_label.values() for x in values if x is not None]
  high = max([1.0 if share else 0.0, *known]) or 1.0
  bottom = top + _HEIGHT

  def x(time):
    return left + _PANEL * time / seconds

  def y(value):
    return bottom - _HEIGHT * value / high

  yield f'<text class="title" x="{left}" y="{top - 10}">{html.escape(title)}</text>'
  for value in (0, high / 2, high):
    yield f'<path class="axis" d="M{left} {y(value):.1f}h{_PANEL}"/>'
  for value in (0, high):
    yield f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2g}</text>'
  for time, anchor in ((0, "start"), (seconds / 2, "middle"), (seconds, "end")):
    unit = " s" if time == seconds else ""
    yield f'<text x="{x(time):.1f}" y="{bottom + 15}" text-anchor="{anchor}">{time:.3g}{unit}</text>'
  yield f'<path class="end" d="M{x(trained):.1f} {top}v{_HEIGHT}"/>'
  for kind, (label, (values, step)) in reversed(list(zip("ab", by_label.items(), strict=True))):
    yield f'<g class="{kind}">{_curve(values, step, x, y)}<title>{html.escape(label)}</title></g>'


def _curve(values, step: float, x, y) -> str:
  """A line through the values, each at the middle of its time span; broken where a value is unknown."""
  points = [None if v is None else (x((i + 0.5) * step), y(v)) for i, v in enumerate(values)]
  path, pen = "", "M"
  for point in points:
    if point:
      path += f"{pen}{point[0]:.1f} {point[1]:.1f}"
    pen = "L" if point else "M"
  isolated = [
    p for i, p in enumerate(points) if p and not any(points[max(0, i - 1) : i] + points[i + 1 : i + 2])
  ]
  return f'<path d="{path}"/>' + "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in isolated)
