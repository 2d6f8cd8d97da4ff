"""Movies as self-contained HTML: one movie for a notebook, or several as a page."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stale_jax.clip import Sense
from stale_jax.files import AnyPath, write_whole
from stale_jax.media.body import body
from stale_jax.media.picture import png, shrink, to_bytes
from stale_jax.media.plots import plot

# Storyboard: (largest number of pictures, minimal width of a picture in pixels), and the width for more
# pictures.
_CELLS, _SMALLEST = ((12, 120), (40, 76)), 56
_MOST = 120  # Pictures of a storyboard; longer movies are sampled evenly.


def _asset(name: str) -> str:
  return (Path(__file__).parent / name).read_text(encoding="utf-8")


def document(title: str, body: str, style: str = "") -> str:
  """A self-contained page, in the style of the project plus `style`; `title` must be escaped."""
  return (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
    f"<title>{title}</title><style>{_asset('movie.css')}{_asset('page.css')}{style}</style></head>"
    f"<body>{body}</body></html>"
  )


def data_url(kind: str, data: bytes) -> str:
  """A data: URL of a file with MIME type `kind`."""
  return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _movie(
  clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense], title: str, facts: str, video: AnyPath | None
) -> str:
  name, values = next(iter(clip.items()))
  # The attribute data-seconds tells movie.js and movie.css that there is a video.
  seconds = len(values) / senses[name].rate
  playing = f' data-seconds="{seconds:.6f}" data-frames="{len(values)}"' if video else ""
  look = _look(clip, senses, video) if video else ""
  plots = "".join(f"<div><h3>{html.escape(n)}</h3>{plot(clip[n], senses[n])}</div>" for n in clip)
  return (
    f'<section class="movie"{playing}><h2>{html.escape(title)}</h2><p class="facts">{html.escape(facts)}</p>'
    f'{look}<div class="senses">{plots}</div></section>'
  )


def _look(clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense], video: AnyPath) -> str:
  """HTML of the video player, the touched body and the storyboard."""
  sight, rate = clip["sight"], senses["sight"].rate
  kind = "video/webm" if video.suffix == ".webm" else "video/mp4"
  # The stride is odd: an even stride would hide part of a motion with a period of, for example, 8 frames.
  stride = -(-len(sight) // _MOST) | 1
  shown = range(0, len(sight), stride)
  # Frames are converted one by one, because all large frames of a long movie would take much memory.
  board = "".join(
    f'<figure><img alt="frame {i}" src="{data_url("image/png", png(shrink(to_bytes(sight[i : i + 1]))[0]))}">'
    f"<figcaption>{round(i / rate, 3):g} s</figcaption></figure>"
    for i in shown
  )
  cell = next((cell for most, cell in _CELLS if len(shown) <= most), _SMALLEST)
  touched = body(clip["touch"], senses["touch"]) if "touch" in clip else ""
  return (
    f'<div class="look"><div class="player"><video controls loop muted autoplay playsinline '
    f'src="{data_url(kind, video.read_bytes())}"></video>{_controls(len(sight), "sound" in clip)}</div>'
    f'{touched}<div class="board" data-stride="{stride}" style="--cell:{cell}px">{board}</div></div>'
  )


def _controls(frames: int, has_sound: bool) -> str:
  """The controls of movie.js, which replace those of the browser; hidden without the script."""
  sound = '<button type="button" class="sound">Sound on</button>' if has_sound else ""
  return (
    '<div class="controls" hidden><input class="time" aria-label="time" type="range" step="any" value="0" '
    f'min="0" max="{frames}"><button type="button" class="play">Play</button><span class="clock"></span>'
    f"{sound}</div>"
  )


def movie_html(
  clip: Mapping[str, np.ndarray], senses: Mapping[str, Sense], title: str, facts: str, video: AnyPath | None
) -> str:
  """One movie as HTML with its style and script, for the output of a notebook.

  Args:
    clip: sense -> [frames, *shape].
    senses: sense -> its description.
    title: heading.
    facts: line below the heading.
    video: video file of the movie, which is embedded; without one only the plots are shown.
  """
  inner = _movie(clip, senses, title, facts, video)
  style = _asset("movie.css")
  return f'<style>{style}</style><div class="stale">{inner}</div><script>{_asset("movie.js")}</script>'


def write_page(
  path: AnyPath,
  movies: Sequence[tuple[Mapping[str, np.ndarray], Mapping[str, Sense], str, str, AnyPath | None]],
  scores: Sequence[tuple[str, float, float | None, str]],
  measured: str,
  command: str,
  drawn: Sequence[str] = (),
  trunk: str = "",
  lead: str = "",
) -> None:
  """Writes the page of several movies to `path`, self-contained.

  Args:
    path: HTML file to write.
    movies: the arguments of `movie_html` for each movie.
    scores: (name, value, value of real clips or None, meaning) of the scores of the model, in order; may be
      empty.
    measured: how the scores were measured.
    command: command that made the page.
    drawn: SVGs of the scores over time, see `curves`.
    trunk: SVG of the preferred form of each block, see `gates`; "" for a model without forms.
    lead: sentence below the heading; default: that the movies were generated from noise.

  Raises:
    UserError: the page cannot be written.
  """
  rows = "".join(
    f'<tr><td>{html.escape(name)}</td><td class="value">{value:.3f}</td>'
    f'<td class="value">{"" if real is None else f"{real:.3f}"}</td>'
    f'<td class="about">{html.escape(about)}</td></tr>'
    for name, value, real, about in scores
  )
  head = "<tr><th>score</th><th>generated</th><th>real</th><th>meaning</th></tr>"

  def picture(svg: str, alt: str) -> str:
    return f'<img class="drawn" alt="{alt}" src="{data_url("image/svg+xml", svg.encode())}">'

  pictures = "".join(picture(svg, "scores over time") for svg in drawn)
  forms = f"<h3>Preferred form of each block</h3>{picture(trunk, 'forms, step by step')}" if trunk else ""
  table = (
    f'<h3>Scores of the model</h3><p class="facts">{html.escape(measured)}</p><table>{head}{rows}</table>'
    f"{pictures}"
    if rows
    else ""
  )
  count = "One movie" if len(movies) == 1 else f"{len(movies)} movies, each"
  lead = lead or f"{count} generated in all its senses at once, from noise."
  content = (
    f'<main class="stale"><h1>Stale movies</h1><p class="lead">{html.escape(lead)}</p>'
    f"{''.join(_movie(*movie) for movie in movies)}"
    f'<section class="movie">{forms}{table}<h3>Command that made this page</h3>'
    f"<pre>{html.escape(command)}</pre></section></main>"
  )
  script = f"<script>{_asset('movie.js')}</script>"
  write_whole(path, document("Stale movies", content + script))
