"""Movies as HTML with nothing outside it: one of them for a notebook, several as a page."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stale_jax.clip import Sense
from stale_jax.media.folder import write_whole
from stale_jax.media.picture import enlarge, png, to_bytes
from stale_jax.media.plots import plot

_STYLE = """
.stale{--ink:#1c1c22;--dim:#6b6b76;--bed:#ececf1;--card:#fff;--on:#6e56cf;color:var(--ink);
font:15px/1.5 ui-sans-serif,system-ui,-apple-system,"Segoe UI",sans-serif;max-width:960px}
.stale .movie{background:var(--card);border:1px solid var(--bed);border-radius:14px;padding:22px;margin:0 0 24px}
.stale h2{font-size:20px;line-height:1.3;margin:0;overflow-wrap:anywhere}
.stale .facts{color:var(--dim);font-size:13px;margin:2px 0 16px;overflow-wrap:anywhere}
.stale .look{display:grid;grid-template-columns:minmax(180px,256px) 1fr;gap:20px;align-items:start}
.stale video{width:100%;border-radius:10px;background:#000;display:block;image-rendering:pixelated}
.stale .board{display:grid;grid-template-columns:repeat(auto-fill,minmax(72px,1fr));gap:6px}
.stale .board figure{margin:0}.stale .board img{width:100%;display:block;border-radius:6px;image-rendering:pixelated}
.stale .board figcaption{color:var(--dim);font-size:11px;text-align:center}
.stale .senses{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:14px 28px;margin-top:18px}
.stale h3{font-size:13px;font-weight:600;margin:0 0 2px;text-transform:capitalize}
.stale svg{width:100%;height:auto;display:block}.stale svg text{font-size:12px;fill:var(--dim)}
.stale .bed{fill:var(--bed)}.stale .on{fill:var(--on)}.stale .on[fill]{fill:revert-layer}
.stale .head{stroke:var(--ink);stroke-width:1.5;opacity:.65}
@media (max-width:560px){.stale .look{grid-template-columns:1fr}.stale .movie{padding:16px}}
@media (prefers-color-scheme:dark){.stale{--ink:#ededf0;--dim:#9d9daa;--bed:#2b2b33;--card:#1a1a20;--on:#9e8cfc}}
"""
# Moves the line on every plot of a movie with its video.
_SCRIPT = """
for(const movie of document.querySelectorAll('.stale .movie:not([data-live])')){movie.dataset.live=1;
const video=movie.querySelector('video');const tick=()=>{const part=video.duration?video.currentTime/video.duration:0;
for(const svg of movie.querySelectorAll('svg')){const left=+svg.dataset.left;const x=left+(svg.viewBox.baseVal.width-left)*part;
const head=svg.querySelector('.head');head.setAttribute('x1',x);head.setAttribute('x2',x)}requestAnimationFrame(tick)};
if(video)tick()}
"""
_PAGE = """
body{margin:0;padding:32px 20px;background:#f6f6f9;display:flex;justify-content:center}
main{width:min(960px,100%)}
.stale h1{font-size:30px;line-height:1.15;letter-spacing:-.02em;margin:0 0 6px}
.stale .lead{color:var(--dim);margin:0 0 24px;overflow-wrap:anywhere}
.stale table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
.stale td,.stale th{text-align:left;padding:6px 12px 6px 0;border-bottom:1px solid var(--bed);vertical-align:top}
.stale th{color:var(--dim);font-weight:500;font-size:13px}
.stale .about{color:var(--dim);font-size:13px}
.stale pre{background:var(--bed);border-radius:8px;padding:12px;margin:12px 0 0;white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px}
@media (prefers-color-scheme:dark){body{background:#111116}}
"""


def _data(kind: str, data: bytes) -> str:
  return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _movie(clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense], title: str, facts: str, video: Path):
  kind = "video/webm" if video.suffix == ".webm" else "video/mp4"
  pictures = enlarge(to_bytes(clip["sight"]), 64)
  board = "".join(
    f'<figure><img alt="frame {i}" src="{_data("image/png", png(picture))}">'
    f"<figcaption>{i / senses['sight'].rate:.2f} s</figcaption></figure>"
    for i, picture in enumerate(pictures)
  )
  plots = "".join(f"<div><h3>{html.escape(n)}</h3>{plot(clip[n], senses[n])}</div>" for n in clip)
  return (
    f'<section class="movie"><h2>{html.escape(title)}</h2><p class="facts">{html.escape(facts)}</p>'
    f'<div class="look"><video controls loop muted autoplay playsinline '
    f'src="{_data(kind, video.read_bytes())}"></video><div class="board">{board}</div></div>'
    f'<div class="senses">{plots}</div></section>'
  )


def movie_html(
  clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense], title: str, facts: str, video: Path
) -> str:
  """One movie, [frames, *shape] a sense, with its own style and script: for a notebook's output.

  `video` is the file of the same movie, which is embedded.
  """
  inner = _movie(clip, senses, title, facts, video)
  return f'<style>{_STYLE}</style><div class="stale">{inner}</div><script>{_SCRIPT}</script>'


def write_page(
  path: Path,
  movies: Sequence[tuple[Mapping[str, np.ndarray], Mapping[str, Sense], str, str, Path]],
  scores: Sequence[tuple[str, float, str]],
  command: str,
) -> None:
  """Writes the page of several movies to `path`, self-contained.

  Args:
    movies: each as the arguments of `movie_html`.
    scores: (name, value, what it means), in order; may be empty.
    command: what made the page.
  """
  rows = "".join(
    f'<tr><td>{html.escape(name)}</td><td>{value:.3f}</td><td class="about">{html.escape(about)}</td></tr>'
    for name, value, about in scores
  )
  table = f"<table><tr><th>Score</th><th>Value</th><th>What it is</th></tr>{rows}</table>" if rows else ""
  count = f"{len(movies)} movie" + "s" * (len(movies) != 1)
  body = (
    f'<main class="stale"><h1>Stale movies</h1><p class="lead">{count}, each generated in all its senses at '
    f"once from uniform noise.</p>{''.join(_movie(*movie) for movie in movies)}"
    f'<section class="movie"><h2>How they were made</h2><pre>{html.escape(command)}</pre>{table}</section></main>'
  )
  write_whole(
    Path(path),
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
    f"<title>Stale movies</title><style>{_STYLE}{_PAGE}</style></head><body>{body}"
    f"<script>{_SCRIPT}</script></body></html>",
  )
