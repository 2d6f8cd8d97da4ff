"""The form of attention that each block prefers at each sampling step, as an SVG with a panel per prompt."""

import html
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_LEFT, _CELL, _HEAD, _FOOT, _TOP = 64, 15, 26, 26, 30  # Pixels.
_STYLE = (
  "text{font:11px ui-sans-serif,system-ui,sans-serif;fill:#64646f}.title{font-weight:600;font-size:12px}"
  ".v{fill:#4a7dfc}.a{fill:#e08a1e}@media (prefers-color-scheme:dark){text{fill:#a0a0ac}}"
)
_FORMS = {"v": "vehicular: along time", "a": "anthropomorphic: over space"}


def gates(prompts: Sequence[str], weights: Float[np.ndarray, "prompts steps blocks"]) -> str:
  """Draws a standalone SVG with one row per block and one column per step, from noise (left) to clip.

  The colour of a cell is that of the form with the larger weight; the larger the weight, the more opaque.

  Args:
    prompts: titles of the panels.
    weights: weights of the vehicular form, from `evaluation.forms.plots`.
  """
  _, steps, blocks = weights.shape
  panel = _HEAD + blocks * _CELL + _FOOT
  widest = max(len(prompt) for prompt in prompts)
  width = max(_LEFT + steps * _CELL + 8, 12 + 7 * widest, 360)
  height = _TOP + len(prompts) * panel
  parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    f'viewBox="0 0 {width} {height}"><style>{_STYLE}</style>'
  ]
  for i, (form, name) in enumerate(_FORMS.items()):
    left = 4 + i * 160
    parts.append(f'<rect class="{form}" x="{left}" y="6" width="11" height="11" rx="2"/>')
    parts.append(f'<text x="{left + 17}" y="16">{name}</text>')
  for number, (prompt, each) in enumerate(zip(prompts, weights, strict=True)):
    top = _TOP + number * panel + _HEAD
    parts.append(f'<text class="title" x="4" y="{top - 9}">{html.escape(prompt)}</text>')
    for block in range(blocks):
      y = top + block * _CELL
      parts.append(f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">block {block}</text>')
      for step, weight in enumerate(each[:, block]):
        form, strength = "v" if weight > 0.5 else "a", 0.12 + 0.88 * abs(2 * float(weight) - 1)
        parts.append(
          f'<rect class="{form}" x="{_LEFT + step * _CELL}" y="{y}" width="{_CELL - 1}" height="{_CELL - 1}" '
          f'opacity="{strength:.2f}"><title>step {step}: vehicular {weight:.2f}</title></rect>'
        )
    bottom = top + blocks * _CELL + 13
    parts.append(f'<text x="{_LEFT}" y="{bottom}">noise</text>')
    parts.append(f'<text x="{_LEFT + steps * _CELL - 1}" y="{bottom}" text-anchor="end">clip</text>')
  return "".join([*parts, "</svg>"]) + "\n"
