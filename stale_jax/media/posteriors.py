"""Posteriors of clips over prompts as an SVG: the frames of each clip, then a bar per prompt."""

import html
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from stale_jax.media.page import data_url
from stale_jax.media.picture import png, to_bytes

_FRAME, _BAR, _ROW, _GAP, _MOST = 40, 160, 16, 16, 10  # Pixels; the greatest number of frames.
_STYLE = (
  "text{font:11px ui-sans-serif,system-ui,sans-serif;fill:#64646f}.on{fill:#7c66dc}.bed{fill:#88889328}"
  "image{image-rendering:pixelated}@media (prefers-color-scheme:dark){text{fill:#a0a0ac}}"
)


def posteriors(
  sights: Sequence[Float[np.ndarray, "frames height width 3"]],
  prompts: Sequence[str],
  probabilities: Float[np.ndarray, "clips prompts"],
) -> str:
  """Draws a standalone SVG with a row per clip.

  Args:
    sights: the frames of the clips, in [-1, 1].
    prompts: the prompts, the same for all clips.
    probabilities: the posterior of each clip.
  """
  frames = min(_MOST, max(len(sight) for sight in sights))
  film, words = frames * _FRAME, 7 * max(map(len, prompts)) + 12
  row = max(len(prompts) * _ROW, _FRAME) + _GAP
  width, height = film + 2 * _GAP + words + _BAR + 44, len(sights) * row + _GAP
  parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    f'viewBox="0 0 {width} {height}"><style>{_STYLE}</style>'
  ]
  for i, (sight, each) in enumerate(zip(sights, probabilities, strict=True)):
    top, left = _GAP + i * row, film + 2 * _GAP + words
    shown = sight[np.linspace(0, len(sight) - 1, min(frames, len(sight))).round().astype(int)]
    strip = png(np.concatenate(list(to_bytes(shown)), 1))
    parts.append(
      f'<image x="{_GAP}" y="{top}" width="{len(shown) * _FRAME}" height="{_FRAME}" '
      f'preserveAspectRatio="xMinYMin" href="{data_url("image/png", strip)}"/>'
    )
    for j, (prompt, p) in enumerate(zip(prompts, each, strict=True)):
      y = top + j * _ROW
      parts.append(
        f'<text x="{left - 8}" y="{y + 10}" text-anchor="end">{html.escape(prompt)}</text>'
        f'<rect class="bed" x="{left}" y="{y}" width="{_BAR}" height="{_ROW - 4}"/>'
        f'<rect class="on" x="{left}" y="{y}" width="{_BAR * float(p):.1f}" height="{_ROW - 4}"/>'
        f'<text x="{left + _BAR + 6}" y="{y + 10}">{p:.3f}</text>'
      )
  return "".join([*parts, "</svg>"]) + "\n"
