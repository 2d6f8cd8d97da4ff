"""Plots a sense over time as inline SVG; labels are HTML, so that they stay legible at any width."""

import html

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense, intensity
from stale_jax.media.ears import EARS, by_ear

_TONES = 8  # Largest number of channels that are drawn as curves; more are drawn as a heat map.
_SIGHT = {"red": "#e5484d", "green": "#30a46c", "blue": "#4a7dfc"}
# Legible on light and dark backgrounds.
_COLOURS = {"sound": "#7c66dc", "touch": "#e08a1e", "smell": "#2f9e77", "taste": "#d6517d"}
_OTHER = "#6b84a3"


def plot(values: Float[np.ndarray, "frames *shape"], sense: Sense) -> str:
  """Returns HTML that shows `values`, in [-1, 1], over time, with one row per channel.

  Up to eight channels are drawn as curves whose height is the intensity. More channels are drawn as a heat
  map whose opacity is the intensity, with the last channel on top, like the highest note of a piano roll.
  Channels of the left and the right ear share a higher row: the curve of the left ear goes up from its
  middle, that of the right ear down.
  Senses with spatial axes, such as sight, are averaged over space and scaled to their maximum. The CSS
  variable --at (0 to 1) sets the position of the playhead, and --row the height of a row.
  """
  values = np.asarray(values, np.float32)
  level = intensity(values).mean(tuple(range(1, values.ndim - 1)))
  note = ""
  if values.ndim > 2:
    # The mean of a small bright object on a dark canvas is faint.
    most = float(level.max())
    level = level / max(most, 1e-6)
    note = f'<p class="note">mean over the picture; the full height is {most:.2f}</p>'
  parts = by_ear(level, sense.channels)
  frames, channels, has_ears = len(level), len(parts), any(part.is_panned for part in parts)
  draw = _ears if has_ears else _curve if channels <= _TONES else _heat
  note = '<p class="note">upward: left ear; downward: right ear</p>' if has_ears else note
  names, drawn = [], []
  for row, part in enumerate(parts if channels <= _TONES else parts[::-1]):
    name = html.escape(part.name.replace("_", " "))
    names.append(f'<span title="{name}">{name}</span>')
    drawn.append(f'<rect class="bed" y="{row + 0.06:.2f}" width="{frames}" height=".88"/>')
    peaks = [peak(level, sense.rate) for level in part.level.T]
    if has_ears:
      peaks = [f"{ear} ear {text}" for ear, text in zip(EARS, peaks, strict=True)]
    fill = f' style="fill:{_SIGHT[name]}"' if sense.name == "sight" and name in _SIGHT else ""
    title = f"<title>{name}: {', '.join(peaks)}</title>"
    drawn.append(f'<g class="on"{fill}>{draw(part.level, row)}{title}</g>')
  label = html.escape(f"{sense.name} over {frames / sense.rate:.3g} seconds")
  kind, colour = "plot ears" if has_ears else "plot", _COLOURS.get(sense.name, _OTHER)
  return (
    f'<div class="{kind}" style="--on:{colour}"><div class="names">{"".join(names)}'
    f'</div><div class="rows"><svg viewBox="0 0 {frames} {channels}" preserveAspectRatio="none" '
    f'style="height:calc({channels}*var(--row))" role="img" aria-label="{label}">{"".join(drawn)}</svg>'
    f'<i class="head"></i></div>{_axis(frames / sense.rate)}</div>{note}'
  )


def peak(level: Float[np.ndarray, "frames"], rate: float) -> str:
  """Says when and how strong the intensity of a channel is at its maximum."""
  frame = int(level.argmax())
  return f"maximum {level[frame]:.2f} at {frame / rate:.3g} s"


def _curve(level: Float[np.ndarray, "frames 1"], row: int) -> str:
  """A filled step curve."""
  return _steps(level[:, 0], row + 0.94, -0.88)


def _ears(level: Float[np.ndarray, "frames 2"], row: int) -> str:
  """A filled step curve for each ear, from the middle of the row."""
  left, right = (_steps(level[:, ear], row + 0.5, height) for ear, height in enumerate((-0.44, 0.44)))
  return f'{left}<g class="right">{right}</g>'


def _steps(level: Float[np.ndarray, "frames"], zero: float, height: float) -> str:
  """A filled step curve on the line y = `zero`, `height` high at full intensity."""
  steps = "".join(f"V{zero + height * float(x):.3f}H{i + 1}" for i, x in enumerate(level))
  return f'<path d="M0 {zero:.2f}{steps}V{zero:.2f}Z"/>'


def _heat(level: Float[np.ndarray, "frames 1"], row: int) -> str:
  """One box per frame; boxes overlap slightly, since a hairline would show between them."""
  return "".join(
    f'<rect x="{i}" y="{row + 0.06:.2f}" width="1.01" height=".88" opacity="{x:.2f}"/>'
    for i, x in enumerate(level[:, 0])
    if x >= 0.01
  )


def _axis(seconds: float) -> str:
  """Time axis with five ticks from 0 to the end."""
  ticks = "".join(f"<span>{seconds * tick / 4:.3g}{' s' if tick == 4 else ''}</span>" for tick in range(5))
  return f'<div class="axis">{ticks}</div>'
