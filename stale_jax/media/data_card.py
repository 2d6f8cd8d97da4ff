"""The data card of a curated data set, as a self-contained HTML page."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stale_jax.files import AnyPath, write_whole
from stale_jax.media.page import data_url, document

_KEPT, _OTHER = "#2f9e77", "#b4b6c2"
_STYLE = f"""
.stale .funnel td:last-child {{ width: 45%; }}
.stale .funnel i {{ display: block; height: 12px; border-radius: 4px; background: {_KEPT}; min-width: 1px; }}
.stale .funnel .less i {{ background: {_OTHER}; }}
.stale .funnel .less td:first-child {{ padding-left: 18px; color: var(--dim); }}
.stale .charts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(270px, 1fr));
  gap: 20px 28px; }}
.stale .chart svg {{ display: block; width: 100%; overflow: visible; }}
.stale .chart text {{ fill: var(--dim); font-size: 11px; font-variant-numeric: tabular-nums; }}
.stale .chart .limit {{ stroke: #e5484d; stroke-width: 1.5; stroke-dasharray: 4 3; }}
.stale .chart .floor {{ stroke: var(--dim); stroke-width: 1; }}
.stale .chart p {{ margin: 0 0 4px; font-size: 13px; }}
.stale .chart p span {{ color: var(--dim); }}
.stale .clips {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 16px 20px;
  margin: 0 0 20px; }}
.stale .clips figure {{ cursor: auto; min-width: 0; }}
.stale .strip {{ display: flex; gap: 2px; height: 84px; border-radius: 8px; overflow: hidden;
  background: var(--bed); }}
.stale .strip img {{ flex: 1 1 0; min-width: 0; height: 100%; object-fit: cover; }}
.stale .clips figcaption {{ font-size: 12px; color: var(--dim); overflow-wrap: anywhere; margin-top: 4px; }}
.stale .clips b {{ color: var(--ink); font-weight: 500; display: block; }}
.stale .key {{ font-size: 12px; color: var(--dim); margin: 0 0 12px; display: flex; gap: 4px 16px;
  flex-wrap: wrap; }}
.stale .key i {{ display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 5px; }}
.stale .about {{ width: auto; }}
.stale .pair {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(270px, 1fr)); gap: 0 32px; }}
.stale h3 {{ margin: 20px 0 4px; }}
"""
_UNREADABLE = {
  "no_file": "the file does not exist or may not be read",
  "empty": "the file has no bytes",
  "not_a_video": "the file is not a video",
  "truncated": "the file starts like a video but is truncated or damaged",
  "no_frames": "the video has no frames",
  "too_large": "frames exceed the limit of pixels or of memory",
  "too_long": "the video exceeds the limit of length",
  "hdr": "the video has a high dynamic range, and such videos are left out",
  "decoder_error": "a frame or the sound cannot be decoded",
  "bomb": "a small file that would decode to an immense number of frames",
  "crashed": "the decoder crashes",
  "too_slow": "decoding takes too long",
  "unexpected": "the decoder fails with an unknown error",
}
_MEASURED = {"dark": "light", "static": "motion", "text": "text"}


def write_data_card(path: AnyPath, said: Mapping[str, Any]) -> None:
  """Writes the card to `path`, self-contained.

  Args:
    path: HTML file to write.
    said: `counts`, `histograms`, `shown`, `rights`, `reasons` and `settings` of a curated data set (see
      data/curate), and its `name`.

  Raises:
    UserError: the page cannot be written.
  """
  counts, shown = said["counts"], said["shown"]
  lead = (
    f"{_many(counts['kept'], 'clip')}, {_time(counts['kept_seconds'])}, from "
    f"{_many(counts['files'], 'file')} with {_time(counts['seconds'])} of video. {counts['train']:,} for "
    f"training, {counts['test']:,} for testing."
  )
  unreadable = [(reason, n, _UNREADABLE.get(reason, "")) for reason, n in counts["unreadable"].items()]
  body = (
    f'<main class="stale"><h1>{html.escape(said["name"])}</h1><p class="lead">{lead}</p>'
    f'<section class="movie"><h2>From files to clips</h2>{_funnel(counts, said["reasons"])}'
    f"{_files(unreadable)}</section>"
    f'<section class="movie"><h2>Distributions</h2><p class="facts">Of all clips that were measured. '
    f"Values beyond the end of an axis are in its last bar.</p>{_key(counts)}"
    f'<div class="charts">{"".join(map(_chart, said["histograms"]))}</div>{_captions(counts)}</section>'
    f'<section class="movie"><h2>Clips that were kept</h2><p class="facts">A sample, chosen by a hash of the '
    f"names; three frames of each.</p>{_clips(shown[''])}</section>"
    f'<section class="movie"><h2>Clips that were left out, by reason</h2>'
    f"{_left_out(shown, counts, said['reasons'])}</section>"
    f'<section class="movie"><h2>Splits</h2>{_splits(counts)}</section>'
    f'<section class="movie"><h2>Rights and consent</h2><p class="facts">Clips that were kept, by their '
    f'metadata, which has not been verified.</p><div class="pair">{_rights(said["rights"])}</div>'
    f"</section>"
    f'<section class="movie"><h2>Settings</h2><table>{_settings(said["settings"])}</table></section></main>'
  )
  write_whole(path, document(html.escape(said["name"]), body, _STYLE))


def _many(n: int, what: str) -> str:
  return f"{n:,} {what}{'' if n == 1 else 's'}"


def _time(seconds: float) -> str:
  for unit, size in (("hours", 3600), ("minutes", 60)):
    if seconds >= 2 * size:
      return f"{seconds / size:,.1f} {unit}"
  return f"{seconds:.1f} seconds"


def _funnel(counts: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
  """Table of how many files and clips remain after each step, as shares of all files and of all clips."""

  def row(name, number, whole, less=False):
    share = number / whole if whole else 0
    return (
      f"<tr{' class=less' if less else ''}><td>{html.escape(name)}</td>"
      f'<td class="value">{"− " if less else ""}{number:,}</td><td class="value">{share:.1%}</td>'
      f'<td><i style="width:{100 * share:.2f}%"></i></td></tr>'
    )

  files, clips = counts["files"], counts["clips"]
  rows = [row("files", files, files)]
  if bad := sum(counts["unreadable"].values()):
    rows.append(row("cannot be read", bad, files, less=True))
  rows.append(row("videos", counts["videos"], files))
  if counts["hdr"]:
    rows.append(row("of these, converted from high dynamic range", counts["hdr"], files))
  rows.append(row(f"clips, between {_many(counts['cuts'], 'cut')}", clips, clips))
  rows += [row(reasons[reason], n, clips, less=True) for reason, n in counts["left_out"].items()]
  rows.append(row("clips that were kept", counts["kept"], clips))
  return f'<table class="funnel">{"".join(rows)}</table>'


def _files(unreadable: Sequence[tuple[str, int, str]]) -> str:
  if not unreadable:
    return ""
  rows = "".join(
    f'<tr><td>{html.escape(reason.replace("_", " "))}</td><td class="value">{n:,}</td>'
    f'<td class="about">{html.escape(words)}</td></tr>'
    for reason, n, words in unreadable
  )
  return f"<h3>Files that cannot be read</h3><table>{rows}</table>"


def _captions(counts: Mapping[str, Any]) -> str:
  rows = [_row("clips without a caption", f"{counts['without_caption']:,}", "")]
  rows += [
    _row(f"captions of more than {most} bytes", f"{n:,}", f"cut by models with text_length={int(most) + 1}")
    for most, n in counts["long_captions"].items()
  ]
  return f"<h3>Captions that were kept</h3><table>{''.join(rows)}</table>"


def _key(counts: Mapping[str, Any]) -> str:
  left_out = sum(n for reason, n in counts["left_out"].items() if reason != "short")
  return (
    f'<p class="key"><span><i style="background:{_KEPT}"></i>kept, {counts["kept"]:,}</span>'
    f'<span><i style="background:{_OTHER}"></i>left out, {left_out:,}</span>'
    f'<span><i style="background:#e5484d;height:2px;vertical-align:middle"></i>threshold</span></p>'
  )


def _chart(histogram) -> str:
  """Stacked bars of equal width: kept below, left out above."""
  wide, high, foot = 300, 96, 18
  bins = len(histogram.kept)
  most = max([a + b for a, b in zip(histogram.kept, histogram.left_out, strict=True)] + [1])
  parts, step = [], wide / max(bins, 1)
  for i, (kept, left_out) in enumerate(zip(histogram.kept, histogram.left_out, strict=True)):
    low, top = high * kept / most, high * (kept + left_out) / most
    between = f"{histogram.edges[i]:.3g} to {histogram.edges[i + 1]:.3g} {histogram.unit}"
    title = f"<title>{between}: {kept} kept, {left_out} left out</title>"
    box = f'x="{i * step + 0.5:.2f}" width="{step - 1:.2f}"'
    if kept:
      parts.append(f'<rect {box} y="{high - low:.2f}" height="{low:.2f}" fill="{_KEPT}">{title}</rect>')
    if left_out:
      parts.append(
        f'<rect {box} y="{high - top:.2f}" height="{top - low:.2f}" fill="{_OTHER}">{title}</rect>'
      )
  if histogram.limit is not None:
    x = wide * _along(histogram.limit, histogram.edges)
    parts.append(f'<path class="limit" d="M{x:.1f} 0V{high}"/>')
  parts.append(f'<path class="floor" d="M0 {high}H{wide}"/><text x="0" y="9">{most:,}</text>')
  ticks = [0, bins // 2, bins]
  for tick, anchor in zip(ticks, ("start", "middle", "end"), strict=True):
    at = f'x="{tick * step:.1f}" y="{high + foot - 4}" text-anchor="{anchor}"'
    parts.append(f"<text {at}>{histogram.edges[tick]:.3g}</text>")
  name, unit = html.escape(histogram.name), html.escape(histogram.unit)
  return (
    f'<div class="chart"><p>{name} <span>{unit}</span></p>'
    f'<svg viewBox="0 0 {wide} {high + foot}" role="img" aria-label="histogram of {name}">{"".join(parts)}'
    f"</svg></div>"
  )


def _along(value: float, edges: Sequence[float]) -> float:
  """Position of `value` on an axis on which all bins have the same width, from 0 to 1."""
  for i in range(len(edges) - 1):
    if value <= edges[i + 1]:
      logarithmic = edges[0] > 0
      low, high, at = (
        math.log(x) if logarithmic else x for x in (edges[i], edges[i + 1], max(value, edges[0]))
      )
      return (i + (at - low) / (high - low)) / (len(edges) - 1)
  return 1.0


def _clips(clips: Sequence[tuple[Mapping[str, Any], list[bytes]]], say=None) -> str:
  if not clips:
    return "<p>None.</p>"
  figures = []
  for clip, pictures in clips:
    images = "".join(f'<img alt="" src="{data_url("image/jpeg", picture)}">' for picture in pictures)
    caption = clip.get("metadata", {}).get("caption", "")
    words = f"<b>{html.escape(_cut(caption))}</b>" if caption else ""
    facts = f"{clip['end'] - clip['start']:.1f} s" + (f", {say(clip)}" if say else _facts(clip))
    figures.append(
      f'<figure><div class="strip">{images}</div><figcaption>{words}{facts}</figcaption></figure>'
    )
  return f'<div class="clips">{"".join(figures)}</div>'


def _cut(text: str, most: int = 120) -> str:
  return text if len(text) <= most else text[: most - 1] + "…"


def _facts(clip: Mapping[str, Any]) -> str:
  made = clip["encoded"]
  sound = "with sound" if made["has_sound"] else "silent"
  return f", {made['width']}×{made['height']} at {made['rate']:.4g}, {sound}, {clip['split']}"


def _left_out(shown, counts: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
  parts = []
  for reason, number in counts["left_out"].items():

    def say(clip, reason=reason):
      if reason == "duplicate":
        return "left: this clip; right: the clip that was kept instead"
      return f"{_MEASURED[reason]} {clip[_MEASURED[reason]]:.3g}" if reason in _MEASURED else reason

    parts.append(f"<h3>{html.escape(reasons[reason])} <span class=value>({number:,})</span></h3>")
    parts.append(_clips(shown[reason], say))
  return "".join(parts) or "<p>Nothing.</p>"


def _splits(counts: Mapping[str, Any]) -> str:
  both = counts["contamination"]
  closest = "nothing to compare" if both["nearest_likeness"] is None else f"{both['nearest_likeness']:.2f}"
  rows = [
    ("clips for training", f"{counts['train']:,}", ""),
    (
      "clips for testing",
      f"{counts['test']:,}",
      "whole groups: the videos of an uploader, and their near-duplicates",
    ),
    ("uploaders in both", f"{both['uploaders']:,}", "among known uploaders, by their salted hashes"),
    ("videos in both", f"{both['videos']:,}", ""),
    ("clusters of near-duplicates in both", f"{both['clusters']:,}", ""),
    (
      "near-duplicates across splits",
      f"{both['near_duplicates']:,}",
      f"of {both['compared']:,} test clips, each compared with the training clips",
    ),
    (
      "most alike pair across splits",
      closest,
      "likeness of what stands still and of what moves, at most 1",
    ),
    (
      "bands compared in part",
      f"{counts['hot_bands']:,}",
      "groups of more than 200 similar clips, of which only those with similar motion were compared",
    ),
  ]
  return "<table>" + "".join(_row(*row) for row in rows) + "</table>"


def _row(name: str, value: str, about: str) -> str:
  return (
    f'<tr><td>{html.escape(name)}</td><td class="value">{html.escape(value)}</td>'
    f'<td class="about">{html.escape(about)}</td></tr>'
  )


def _rights(rights: Mapping[str, Iterable[tuple[str, int]]], most: int = 8) -> str:
  tables = []
  for field, values in rights.items():
    values = list(values)
    rows = "".join(
      f'<tr><td>{html.escape(_cut(value, 60))}</td><td class="value">{n:,}</td></tr>'
      for value, n in values[:most]
    )
    rest = sum(n for _, n in values[most:])
    if rest:
      rows += f'<tr><td>{len(values) - most} others</td><td class="value">{rest:,}</td></tr>'
    tables.append(f"<div><h3>{html.escape(field.replace('_', ' '))}</h3><table>{rows}</table></div>")
  return "".join(tables)


def _settings(settings: Mapping[str, Any]) -> str:
  return "".join(
    f'<tr><td>{html.escape(name.replace("_", " "))}</td><td class="value">{html.escape(str(value))}</td></tr>'
    for name, value in settings.items()
  )
