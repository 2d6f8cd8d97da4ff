"""A sense over time as inline SVG."""

import html
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense, intensity

_WIDTH, _ROW, _LABEL, _FOOT, _PAD = 640, 17, 116, 24, 4
# What the colours of sight are drawn in; every other channel takes the accent of the page.
_SIGHT = {"red": "#e5484d", "green": "#30a46c", "blue": "#3e7bfa"}


def plot(values: Float[np.ndarray, "frames *shape"], sense: Sense) -> str:
  """The sense's channels as rows of a heat map, time from left to right; darker is stronger.

  Sight (and any sense with space) is averaged over space first.
  """
  values = np.asarray(values, np.float32)
  level = intensity(values).mean(tuple(range(1, values.ndim - 1)))
  frames, channels = level.shape
  # The mean of a small bright thing on a dark canvas is faint: scale to the greatest.
  note = ""
  if values.ndim > 2:
    peak = float(level.max())
    level = level / max(peak, 1e-6)
    note = f", mean over the picture, full is {peak:.2f}"
  width = (_WIDTH - _LABEL) / frames
  height = channels * _ROW
  parts = []
  for row, name in enumerate(sense.channels):
    y = row * _ROW + _PAD
    parts.append(f'<text x="{_LABEL - 8}" y="{y + 12}" text-anchor="end">{html.escape(_pretty(name))}</text>')
    colour = f' fill="{_SIGHT[name]}"' if name in _SIGHT and sense.name == "sight" else ""
    parts.append(f'<rect class="bed" x="{_LABEL}" y="{y}" width="{_WIDTH - _LABEL}" height="{_ROW - 2}"/>')
    for frame in range(frames):
      if level[frame, row] >= 0.01:
        title = f"{_pretty(name)}, {frame / sense.rate:.2f} s: {level[frame, row]:.2f}"
        parts.append(
          f'<rect class="on"{colour} x="{_LABEL + frame * width:.1f}" y="{y}" width="{width:.1f}" '
          f'height="{_ROW - 2}" opacity="{level[frame, row]:.2f}"><title>{html.escape(title)}</title></rect>'
        )
  parts += _axis(frames / sense.rate, height)
  label = html.escape(f"{sense.name} over time{note}")
  return (
    f'<svg viewBox="0 0 {_WIDTH} {height + _FOOT + _PAD}" role="img" aria-label="{label}" '
    f'data-left="{_LABEL}">{"".join(parts)}'
    f'<line class="head" x1="{_LABEL}" x2="{_LABEL}" y1="{_PAD}" y2="{height + _PAD}"/></svg>'
  )


def _pretty(name: str) -> str:
  return name.replace("_", " ")


def _axis(seconds: float, height: int) -> Sequence[str]:
  """Five ticks from 0 to the end, in seconds."""
  parts = []
  for tick in range(5):
    x = _LABEL + (_WIDTH - _LABEL) * tick / 4
    anchor = "start" if tick == 0 else "end" if tick == 4 else "middle"
    unit = " s" if tick == 4 else ""
    value = f"{seconds * tick / 4:.2f}".rstrip("0").rstrip(".")
    parts.append(f'<text x="{x:.1f}" y="{height + _PAD + 16}" text-anchor="{anchor}">{value}{unit}</text>')
  return parts
