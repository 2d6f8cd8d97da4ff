"""The page that shows a stream, and the files that it loads."""

import html
import json
from pathlib import Path

from stale_jax.serving.server import Server

_FOLDER = Path(__file__).parent
_MEDIA = _FOLDER.parent / "media"
# Path on the server -> (files that are joined, MIME type).
ASSETS = {
  "/live.css": ((_MEDIA / "movie.css", _MEDIA / "page.css", _FOLDER / "live.css"), "text/css"),
  "/live.js": ((_FOLDER / "live.js",), "text/javascript"),
  "/live.draw.js": ((_FOLDER / "live.draw.js",), "text/javascript"),
}
# Model -> prompts that the page suggests; those of other models are not known.
_EXAMPLES = {
  "causal": (
    "a red seven moves left quickly",
    "a cyan two moves down slowly",
    "a yellow five moves right quickly",
  )
}


def asset(path: str) -> tuple[str, str]:
  """(text, MIME type) of a file of the page."""
  files, kind = ASSETS[path]
  return "".join(file.read_text(encoding="utf-8") for file in files), kind


def live_page(server: Server) -> str:
  """The page, with what it must know about the streams."""
  about = json.dumps(server.about()).replace("<", "\\u003c")
  text = (_FOLDER / "live.html").read_text(encoding="utf-8")
  examples = _EXAMPLES.get(server.model, ())
  values = {
    "about": about,
    "by": html.escape(server.about()["generated_by"]),
    "model": html.escape(server.model),
    "prompt": html.escape(examples[0] if examples else ""),
    "most": str(server.prompt_bytes),
    "examples": "".join(f'<option value="{html.escape(example)}">' for example in examples),
  }
  for name, value in values.items():
    text = text.replace("{{" + name + "}}", value)
  return text
