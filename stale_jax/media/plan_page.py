"""A plan of a training run as a self-contained HTML page: bars of memory and time, and a curve of scaling."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from stale_jax.files import AnyPath, write_whole
from stale_jax.media.page import document

# Legible on light and dark backgrounds; used in this order.
_COLOURS = ("#4a7dfc", "#7c66dc", "#2f9e77", "#6b84a3", "#e08a1e", "#d6517d")
_STYLE = """
.stale .bar { display: flex; height: 34px; border-radius: 8px; overflow: hidden; background: var(--bed);
  position: relative; margin: 8px 0; }
.stale .bar i { display: block; height: 100%; }
.stale .bar .limit { position: absolute; top: 0; bottom: 0; width: 2px; background: var(--ink); }
.stale .key { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; margin: 0 0 18px; }
.stale .key i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 6px; }
.stale .key b { font-weight: 600; font-variant-numeric: tabular-nums; }
.stale .verdict { font-size: 20px; font-weight: 650; margin: 0; }
.stale .about { width: auto; }
.stale svg text { fill: var(--dim); font-size: 12px; font-variant-numeric: tabular-nums; }
.stale svg .line { fill: none; stroke: #4a7dfc; stroke-width: 2; }
.stale svg .dot { fill: #4a7dfc; }
.stale svg .rule { stroke: var(--bed); }
.stale ul { margin: 4px 0 16px; padding-left: 20px; font-size: 14px; }
"""


def _bar(parts: Mapping[str, float], whole: float, unit: str, limit: float | None = None) -> str:
  """HTML of a stacked bar of total length `whole`, with a mark at `limit` and a legend."""
  bars, key = [], []
  for colour, (name, value) in zip(_COLOURS * 3, parts.items(), strict=False):
    label = html.escape(f"{name}: {value:.3g} {unit}")
    bars.append(f'<i style="width:{100 * value / whole:.3f}%;background:{colour}" title="{label}"></i>')
    key.append(
      f'<span><i style="background:{colour}"></i>{html.escape(name)} <b>{value:.3g} {unit}</b></span>'
    )
  mark = f'<span class="limit" style="left:{100 * limit / whole:.2f}%"></span>' if limit else ""
  return f'<div class="bar">{"".join(bars)}{mark}</div><div class="key">{"".join(key)}</div>'


def _curve(points: Sequence[tuple[int, float, float]]) -> str:
  """SVG of MFU (model FLOPs utilisation) over the logarithm of the number of chips; tooltips: step times."""
  wide, high, left, top, foot = 900, 240, 52, 22, 34
  low, most = math.log2(points[0][0]), math.log2(points[-1][0])
  peak = max(0.1, math.ceil(10 * max(mfu for _, mfu, _ in points)) / 10)

  def at(chips, mfu):
    x = left + (wide - left - 40) * (math.log2(chips) - low) / max(most - low, 1e-9)
    return x, top + (high - top - foot) * (1 - mfu / peak)

  parts = []
  for tick in range(5):
    y = at(points[0][0], peak * tick / 4)[1]
    parts.append(f'<path class="rule" d="M{left} {y:.1f}H{wide}"/>')
    parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{peak * tick / 4:.0%}</text>')
  path = "L".join("{:.1f} {:.1f}".format(*at(chips, mfu)) for chips, mfu, _ in points)
  parts.append(f'<path class="line" d="M{path}"/>')
  for chips, mfu, step in points:
    x, y = at(chips, mfu)
    parts.append(
      f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{step:.3g} s per step</title></circle>'
    )
    parts.append(f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{mfu:.1%}</text>')
    parts.append(f'<text x="{x:.1f}" y="{high - 12}" text-anchor="middle">{chips:,} chips</text>')
  label = "MFU over the number of chips"
  return (
    f'<svg viewBox="0 0 {wide} {high}" role="img" aria-label="{label}" width="100%">{"".join(parts)}</svg>'
  )


def _rows(pairs: Sequence[tuple[str, str]]) -> str:
  return "".join(
    f'<tr><td>{html.escape(name)}</td><td class="value">{html.escape(value)}</td></tr>'
    for name, value in pairs
  )


def _number(value, unit: str = "") -> str:
  if value is None:
    return "unknown"
  return f"{value:,.0f} {unit}".strip() if value >= 1000 else f"{value:.4g} {unit}".strip()


def write_plan(
  path: AnyPath, said: Mapping[str, Any], points: Sequence[tuple[int, float, float]], command: str
) -> None:
  """Writes the page of a plan to `path`, self-contained.

  Args:
    path: HTML file to write.
    said: the plan as `Plan.json` gives it, and the name of its config.
    points: (chips, MFU, seconds per step) of the scaling curve.
    command: command that made the page.

  Raises:
    UserError: the page cannot be written.
  """
  used, room = said["memory_gib"], said["headroom_gib"]
  available = used + room
  mesh = " x ".join(f"{name} {size}" for name, size in said["mesh"].items() if size > 1) or "one device"
  seconds = said["seconds"]
  facts = [
    ("mesh", mesh),
    ("batch", f"{said['batch']} clips of {said['tokens']:,} tokens"),
    ("step time, lower bound", _number(said["step_seconds"], "s")),
    ("MFU, upper bound", f"{said['mfu']:.1%}"),
    ("tokens per second", _number(said["tokens_per_second"])),
    ("operations per device and step", _number(said["flops"] / 1e12, "T")),
    ("the same, counted by the compiler", _number(said["compiler_flops"] / 1e12, "T")),
    ("whole run", _number(said["chip_hours"], "chip-hours")),
    ("price of the run", _number(said["dollars"], "US dollars")),
  ]
  if said["sampler"]:
    facts.append(("time per movie", _number(said["sampler"]["seconds_a_movie"], "s on all chips")))
    facts.append(("memory of the sampler", _number(said["sampler"]["memory_gib"], "GiB per device")))
  sent = "".join(
    f"<tr><td>{c['kind']}</td><td>{html.escape(' x '.join(c['axes']))}</td>"
    f'<td class="value">{c["gib"]:.3g} GiB</td><td class="value">{c["count"]}</td>'
    f"<td>{'between slices' if c['between_slices'] else 'within a slice'}</td></tr>"
    for c in said["collectives"]
  )
  largest = "".join(
    f'<tr><td class="value">{size:.3g} GiB</td><td>{html.escape(kind)}</td>'
    f"<td>{html.escape(by[-80:])}</td></tr>"
    for size, kind, by in said["largest"]
  )
  largest = largest and f"<h3>Largest arrays of a step</h3><table>{largest}</table>"
  warnings = "".join(f"<li>{html.escape(warning)}</li>" for warning in said["warnings"])
  verdict = f"fits, with {room:.2f} GiB to spare" if said["fits"] else f"does not fit, by {-room:.2f} GiB"
  time = {name: seconds[key] for name, key in _TIMES.items() if seconds[key] > 0}
  side = max([x for name, x in time.items() if name != "exposed collectives"] or [0])
  longest = {"overlapped": side, "exposed collectives": seconds["exposed"]}
  body = (
    f'<main class="stale"><h1>{html.escape(str(said["config"]))}</h1><p class="lead">'
    f"{said['parameters'] / 1e9:.2f} billion parameters on {said['chips']:,} chips, "
    f"{said['num_slices']} x {html.escape(said['topology'])}</p>"
    f'<section class="movie"><p class="verdict">{verdict}</p>'
    f'<p class="facts">memory per device: {used:.2f} GiB of {available:.2f}</p>'
    f"{_bar(said['memory'], max(used, available), 'GiB', available if used > available else None)}"
    f"{largest}</section>"
    f'<section class="movie"><h2>Time of a step</h2><p class="facts">Lower bound, not measured: '
    f"{said['assumption']}.</p>{_bar(longest, max(sum(longest.values()), 1e-12), 's')}"
    f"<table>{_rows([(name, _number(x, 's')) for name, x in time.items()])}</table>"
    f"<table>{_rows(facts)}</table>"
    f"<h3>Data sent per device and step</h3><table><tr><th>collective</th><th>axes</th><th>sent</th>"
    f"<th>count</th><th></th></tr>{sent}</table></section>"
    f'<section class="movie"><h2>Scaling to more slices</h2><p class="facts">MFU with the same number of '
    f"clips per slice. Computed: this plan plus the all-reduce of gradients over slices.</p>"
    f"{_curve(points)}</section>"
    f'<section class="movie"><h3>Warnings</h3><ul>{warnings or "<li>none</li>"}</ul>'
    f"<h3>Command that made this page</h3><pre>{html.escape(command)}</pre></section></main>"
  )
  write_whole(path, document("Plan", body, _STYLE))


_TIMES = {
  "operations at peak rate": "flops",
  "HBM": "hbm",
  "hidden collectives": "hidden",
  "exposed collectives": "exposed",
  "between slices": "dcn",
}
