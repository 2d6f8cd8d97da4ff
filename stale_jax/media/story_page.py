"""A story as a self-contained HTML page: the videos of its panels in a row, then every frame."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

from stale_jax.files import AnyPath, write_whole
from stale_jax.media.page import data_url, document
from stale_jax.media.picture import png, shrink, to_bytes

_STYLE = """
.stale .story { display: grid; grid-template-columns: repeat(auto-fit,minmax(150px,1fr)); gap: 20px; }
.stale .story figure { cursor: default; }
.stale .story figcaption { font-size: 15px; line-height: 1.35; margin-top: 8px; }
.stale .story b { color: var(--dim); font-weight: 500; margin-right: 6px; }
.stale .film { display: grid; grid-template-columns: repeat(var(--frames),minmax(0,1fr)); gap: 4px;
  align-items: center; }
.stale .film img { width: 100%; border-radius: 4px; image-rendering: pixelated; display: block; }
.stale .film .on { width: 84%; margin: auto; }
.stale .film h3 { grid-column: 1 / -1; margin: 10px 0 0; }
"""


def _frames(sight: np.ndarray, kind: str) -> str:
  pictures = (shrink(to_bytes(frame[None]))[0] for frame in sight)
  return "".join(f'<img class="{kind}" alt="" src="{data_url("image/png", png(p))}">' for p in pictures)


def write_story(
  path: AnyPath,
  panels: Sequence[tuple[Mapping[str, np.ndarray], str, AnyPath]],
  between: Sequence[np.ndarray],
  about: str,
  command: str,
) -> None:
  """Writes the page of a story to `path`, self-contained.

  Args:
    panels: (clip, caption, video) of each panel; the clip is sense -> [frames, *shape], with sight.
    between: transition frames [n, height, width, 3] from each panel to the next; may be empty.
    about: one line on how the story was made.
    command: command that made the page.

  Raises:
    UserError: the page cannot be written.
  """

  def figure(number, caption, video):
    kind = "video/webm" if video.suffix == ".webm" else "video/mp4"
    return (
      f'<figure><video loop muted autoplay playsinline src="{data_url(kind, video.read_bytes())}">'
      f"</video><figcaption><b>{number}</b>{html.escape(caption)}</figcaption></figure>"
    )

  row = "".join(figure(i, caption, video) for i, (_, caption, video) in enumerate(panels, 1))
  film, longest = [], max(len(clip["sight"]) for clip, *_ in panels) + max(map(len, between), default=0)
  for i, (clip, caption, _) in enumerate(panels):
    film.append(f"<h3>{i + 1}. {html.escape(caption)}</h3>{_frames(clip['sight'], 'panel')}")
    film += [_frames(between[i], "on")] if i < len(between) else []
  note = " Small frames are transitions to the next panel, made by the motion predictor." if between else ""
  body = (
    f'<main class="stale"><h1>A story</h1><p class="lead">{len(panels)} panels that attended to one '
    f'another while they were generated.</p><section class="movie"><div class="story">{row}</div></section>'
    f'<section class="movie"><h2>Frame by frame</h2><p class="facts">Time goes from left to right.{note}</p>'
    f'<div class="film" style="--frames:{longest}">{"".join(film)}</div></section>'
    f'<section class="movie"><h3>How it was made</h3><p class="facts">{html.escape(about)}</p>'
    f"<pre>{html.escape(command)}</pre></section></main>"
  )
  write_whole(path, document("A story", body, _STYLE))
