"""Plots a sense over time as inline SVG; labels are HTML, so that they stay legible at any width."""

import html

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense, intensity

_TONES = 8  # Largest number of channels that are drawn as curves; more are drawn as a heat map.
_SIGHT = {"red": "#e5484d", "green": "#30a46c", "blue": "#4a7dfc"}
# Legible on light and dark backgrounds.
_COLOURS = {"sound": "#7c66dc", "touch": "#e08a1e", "smell": "#2f9e77", "taste": "#d6517d"}
_OTHER = "#6b84a3"


def plot(values: Float[np.ndarray, "frames *shape"], sense: Sense) -> str:
  """Returns HTML that shows `values`, in [-1, 1], over time, with one row per channel.

  Up to eight channels are drawn as curves whose height is the intensity. More channels are drawn as a heat
  map whose opacity is the intensity, with the last channel on top, like the highest note of a piano roll.
  Senses with spatial axes, such as sight, are averaged over space and scaled to their maximum. The CSS
  variable --at (0 to 1) sets the position of the playhead, and --row the height of a row.
  """
  values = np.asarray(values, np.float32)
  level = intensity(values).mean(tuple(range(1, values.ndim - 1)))
  note = ""
  if values.ndim > 2:
    # The mean of a small bright object on a dark canvas is faint.
    peak = float(level.max())
    level = level / max(peak, 1e-6)
    note = f'<p class="note">mean over the picture; the full height is {peak:.2f}</p>'
  frames, channels = level.shape
  order = range(channels) if channels <= _TONES else range(channels)[::-1]
  names, parts = [], []
  for row, channel in enumerate(order):
    name = html.escape(sense.channels[channel].replace("_", " "))
    names.append(f'<span title="{name}">{name}</span>')
    parts.append(f'<rect class="bed" y="{row + 0.06:.2f}" width="{frames}" height=".88"/>')
    peak = int(level[:, channel].argmax())
    title = f"{name}: maximum {level[peak, channel]:.2f} at {peak / sense.rate:.3g} s"
    colour = f' style="fill:{_SIGHT[name]}"' if sense.name == "sight" and name in _SIGHT else ""
    draw = _curve if channels <= _TONES else _heat
    parts.append(f'<g class="on"{colour}>{draw(level[:, channel], row)}<title>{title}</title></g>')
  label = html.escape(f"{sense.name} over {frames / sense.rate:.3g} seconds")
  return (
    f'<div class="plot" style="--on:{_COLOURS.get(sense.name, _OTHER)}"><div class="names">{"".join(names)}'
    f'</div><div class="rows"><svg viewBox="0 0 {frames} {channels}" preserveAspectRatio="none" '
    f'style="height:calc({channels}*var(--row))" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    f'<i class="head"></i></div>{_axis(frames / sense.rate)}</div>{note}'
  )


def _curve(level: Float[np.ndarray, "frames"], row: int) -> str:
  """A filled step curve."""
  steps = "".join(f"V{row + 0.94 - 0.88 * float(x):.3f}H{i + 1}" for i, x in enumerate(level))
  return f'<path d="M0 {row + 0.94:.2f}{steps}V{row + 0.94:.2f}Z"/>'


def _heat(level: Float[np.ndarray, "frames"], row: int) -> str:
  """One box per frame; boxes overlap slightly, since a hairline would show between them."""
  return "".join(
    f'<rect x="{i}" y="{row + 0.06:.2f}" width="1.01" height=".88" opacity="{x:.2f}"/>'
    for i, x in enumerate(level)
    if x >= 0.01
  )


def _axis(seconds: float) -> str:
  """Time axis with five ticks from 0 to the end."""
  ticks = "".join(f"<span>{seconds * tick / 4:.3g}{' s' if tick == 4 else ''}</span>" for tick in range(5))
  return f'<div class="axis">{ticks}</div>'
