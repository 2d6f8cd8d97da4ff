"""Draws touch on the outline of a body, as inline SVG."""

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense, intensity
from stale_jax.media.plots import peak

# Channel of touch -> shape. The body is seen from behind, so that its left is on the left.
_PARTS = {
  "left foot": '<ellipse cx="40" cy="184" rx="14" ry="9"/>',
  "right foot": '<ellipse cx="80" cy="184" rx="14" ry="9"/>',
  "left hand": '<circle cx="17" cy="112" r="10"/>',
  "right hand": '<circle cx="103" cy="112" r="10"/>',
  "body": '<path d="M42 50H78Q86 50 85 60L80 112Q79 120 71 120H49Q41 120 40 112L35 60Q34 50 42 50Z"/>',
}
_HEAD = '<circle cx="60" cy="26" r="18"/>'
_LIMBS = '<path d="M40 58L20 104M80 58L100 104M51 118L45 176M69 118L75 176"/>'


def body(touch: Float[np.ndarray, "frames channels"], sense: Sense) -> str:
  """Returns HTML of a body whose parts light up as they are touched; "" if a channel is no part of a body.

  Each part has its intensities, in per cent, in the attribute data-levels; movie.js shows those of the frame
  that the video shows.
  """
  if not set(sense.channels) <= set(_PARTS):
    return ""
  levels = dict(zip(sense.channels, intensity(touch).T, strict=True))
  shapes = []
  for name, shape in _PARTS.items():
    level = levels.get(name, np.zeros(len(touch)))
    percent = " ".join(f"{100 * float(x):.0f}" for x in level)
    shapes.append(
      f'<g class="skin">{shape}</g><g class="on" data-levels="{percent}" style="opacity:{level[0]:.2f}">'
      f"{shape}<title>{name}: {peak(level, sense.rate)}</title></g>"
    )
  return (
    '<div class="body"><svg viewBox="0 0 120 212" role="img" aria-label="touch on a body, seen from behind">'
    f'<g class="edge">{_LIMBS}</g><g class="limb">{_LIMBS}</g><g class="skin">{_HEAD}</g>{"".join(shapes)}'
    '<text x="40" y="208">left</text><text x="80" y="208">right</text></svg>'
    "<p>touch, seen from behind</p></div>"
  )
