"""Results of `evaluation.dead_frames` as a self-contained HTML page."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from stale_jax.files import AnyPath, write_whole
from stale_jax.media.page import data_url, document
from stale_jax.media.picture import contact_sheet, enlarge, png, to_bytes

_STYLE = """
.stale > h2 { margin: 28px 0 10px; }
.stale .sheet img { image-rendering: pixelated; max-width: 100%; border-radius: 6px; }
.stale .row { display: flex; gap: 12px; align-items: center; margin: 2px 0; font-size: 13px; }
.stale .row b { width: 110px; text-align: right; font-weight: 500; }
.stale .row span { width: 92px; color: var(--dim); font-variant-numeric: tabular-nums; }
.stale .row svg { flex: 1; height: 18px; overflow: visible; }
.stale .row circle { fill: #7c66dc; opacity: .55; }
.stale .row .rule { stroke: var(--bed); }
.stale .row .still { stroke: #e5484d; stroke-dasharray: 2 2; }
.stale .grid { display: flex; flex-wrap: wrap; gap: 8px; }
.stale .grid figure { margin: 0; font-size: 12px; color: var(--dim); text-align: center; }
.stale .grid img { image-rendering: pixelated; width: 72px; border-radius: 6px; display: block; }
.stale .about { width: auto; }
"""
_SHOWN = 16  # Number of pictures shown of the slowest, and of the fastest.


def write_dead_frames(
  path: AnyPath,
  scores: Mapping[str, Any],
  movies: Float[np.ndarray, "n frames height width 3"],
  pictures: Float[np.ndarray, "m height width 3"],
  speed: Float[np.ndarray, "m"],
) -> None:
  """Writes the page to `path`.

  Args:
    path: HTML file to write.
    scores: output of `experiments.dead_frames`: segments, kinds (name -> speeds, in the order of `pictures`),
      real_speed, still (the speed below which a picture is dead), predicted and verdict.
    movies: the chains of segments, one movie per glitch.
    pictures: pictures that the model continued.
    speed: mean speed of each picture's continuations, in pixels per frame.
  """
  most = max(float(np.max(speed)), scores["real_speed"], 1e-6)
  kinds = "".join(
    _row(name, f"{np.mean(speeds):.2f} px", speeds, most, scores) for name, speeds in scores["kinds"].items()
  )
  segments = "; ".join(
    f"{number}: {part['speed']:.2f} px per frame, {part['retention']:.2f} of the first"
    for number, part in enumerate(scores["segments"], 1)
  )
  prediction = scores["predicted"]
  ranks = sorted(prediction["spearman"].items(), key=lambda item: -abs(item[1]))
  features = "".join(
    f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td>{value:+.2f}</td></tr>" for name, value in ranks
  )
  order = np.argsort(speed)
  body = (
    '<main class="stale"><h1>Is there a dead frame?</h1>'
    f'<p class="about">{html.escape(scores["verdict"])}</p>'
    "<h2>A chain of segments from a glitch</h2>"
    "<p>Each row starts with a glitch: a frame sampled with only two steps. Each segment continues the last "
    f"frame of the previous one. Speed by segment: {segments}.</p>"
    f'<div class="sheet">{_image(contact_sheet(movies[:6]), 3)}</div>'
    "<h2>Speed by kind of picture</h2>"
    "<p>One dot per picture: the mean speed of its continuations. The red line is the speed below which a "
    f"picture is still ({scores['still']:g} px per frame), the grey line the mean speed of real clips "
    f"({scores['real_speed']:.2f} px per frame).</p>{kinds}"
    f"<h2>Features that predict the speed</h2><p>A random forest on these features explains "
    f"{prediction['r2']:.0%} of the variance of the speed on held-out pictures. Rank correlations with the "
    "speed:</p>"
    f"<table>{features}</table>"
    f"<h2>Slowest pictures</h2>{_grid(pictures, speed, order[:_SHOWN])}"
    f"<h2>Fastest pictures</h2>{_grid(pictures, speed, order[::-1][:_SHOWN])}</main>"
  )
  write_whole(path, document("Is there a dead frame?", body, _STYLE))


def _row(name: str, label: str, speeds: Sequence[float], most: float, scores: Mapping[str, Any]) -> str:
  def line(kind, value):
    x = 100 * value / most
    return f'<line class="{kind}" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="18"/>'

  dots = "".join(f'<circle cx="{100 * value / most:.2f}%" cy="9" r="4"/>' for value in speeds)
  rules = line("rule", scores["real_speed"]) + line("still", scores["still"])
  return (
    f'<div class="row"><b>{html.escape(name)}</b><span>{label}</span><svg role="img" '
    f'aria-label="speeds of {html.escape(name)}">{rules}{dots}</svg></div>'
  )


def _image(picture: np.ndarray, times: int) -> str:
  large = picture.repeat(times, 0).repeat(times, 1)
  return f'<img alt="contact sheet" src="{data_url("image/png", png(large))}">'


def _grid(pictures, speed, which) -> str:
  figures = "".join(
    f'<figure><img alt="" src="{data_url("image/png", png(enlarge(to_bytes(pictures[i])[None], 64)[0]))}">'
    f"{speed[i]:.2f}</figure>"
    for i in which
  )
  return f'<div class="grid">{figures}</div>'
