"""Draws the pictures of the docs that show what the packaged model of cartoons makes.

python -m experiments.cartoon_pictures --out=docs

It writes movies.gif, eight clips with their captions, and story_cartoons.png, three stories of three panels.
It needs Pillow.
"""

import io
import textwrap

from absl import flags

from experiments.main import run

OUT = flags.DEFINE_string("out", None, "Folder to write the pictures to.", required=True)
CAPTIONS = (
  "a burglar in a green striped shirt runs right through a museum at night",
  "a cop in a blue uniform chases a burglar in a green striped shirt left through a museum by day",
  "a fairy in a purple tunic dances in a magical forest by day",
  "a girl in a red dress turns into a car and drives to the right in a magical forest at sunset",
  "a lumberjack in a red plaid shirt walks left through a magical forest by day, holding an axe",
  "a fan in a yellow T-shirt jumps right on a stage at night",
  "a cop in a blue uniform turns cartwheels to the left on a stage at sunset",
  "a fan in a red T-shirt waves on a stage by day, holding a guitar",
)
# Figure 1 of Stale Diffusion: a burglary, a magical forest, a reunion party.
STORIES = (
  (
    "a burglar in a green striped shirt walks right through a museum at night",
    "a burglar in a green striped shirt dances in a museum at night",
    "a burglar in a green striped shirt turns into a car and drives to the right in a museum at night",
  ),
  (
    "a girl in a red dress walks right through a magical forest by day",
    "a lumberjack in a red plaid shirt chases a girl in a red dress right through a magical forest by day",
    "a fairy in a purple tunic dances in a magical forest by day",
  ),
  (
    "a fan in a yellow T-shirt walks right across a stage at night",
    "a fan in a yellow T-shirt dances on a stage at night",
    "a fan in a yellow T-shirt waves on a stage at night",
  ),
)
_SHOWN = (1, 5, 9, 14)  # Frames of a panel on the storyboard.
# Of movies.gif, in pixels: enlargement of a clip, gaps, height of a line of text; and letters in a line.
_COLUMNS, _ENLARGED, _GAP, _LINE, _LETTERS = 4, 5, 18, 14, 26


def main() -> None:
  from stale_jax.files import check_on_disk, make_folder, write_whole
  from stale_jax.media import png
  from stale_jax.pipeline import load

  check_on_disk("--", out=OUT.value)
  folder, model = make_folder(OUT.value), load("cartoons")
  write_whole(folder / "story_cartoons.png", png(_storyboard(model)))
  write_whole(folder / "movies.gif", _captioned(model))
  print(f"wrote {folder / 'movies.gif'} and {folder / 'story_cartoons.png'}.")


def _storyboard(model):
  """Stories in rows, panels in columns; four frames of each panel. Returns a picture of bytes."""
  from stale_jax.media.picture import to_bytes

  rows = []
  for prompts in STORIES:
    panels = [to_bytes(movie.clip["sight"][list(_SHOWN)]) for movie in model.story(prompts)]
    row = [_beside(list(panel.repeat(2, 1).repeat(2, 2)), 2) for panel in panels]
    rows.append(_beside(row, 6).swapaxes(0, 1))
  return _beside(rows, 6).swapaxes(0, 1)


def _beside(pictures, gap: int):
  """Pictures [height, width, 3] side by side, with white between them."""
  import numpy as np

  white = np.full((len(pictures[0]), gap, 3), 255, np.uint8)
  return np.concatenate([part for picture in pictures for part in (picture, white)][:-1], 1)


def _captioned(model) -> bytes:
  """The clips of CAPTIONS with their captions, as an animated GIF."""
  from PIL import Image, ImageDraw, ImageFont

  from stale_jax.media.picture import to_bytes

  sight = to_bytes(model.sample(CAPTIONS, range(len(CAPTIONS)))["sight"])
  size, font = sight.shape[2] * _ENLARGED, ImageFont.load_default(11)
  lines = [textwrap.wrap(caption, _LETTERS) for caption in CAPTIONS]
  cell = size + _GAP, size + _GAP + _LINE * max(map(len, lines))
  rows = -(-len(CAPTIONS) // _COLUMNS)
  page = Image.new("RGB", (_COLUMNS * cell[0] + _GAP, rows * cell[1] + _GAP), "white")
  places = [
    (_GAP + cell[0] * (number % _COLUMNS), _GAP + cell[1] * (number // _COLUMNS))
    for number in range(len(CAPTIONS))
  ]
  for (x, y), words in zip(places, lines, strict=True):
    for number, line in enumerate(words):
      ImageDraw.Draw(page).text((x, y + size + 6 + _LINE * number), line, "black", font)
  frames = []
  for pictures in sight.swapaxes(0, 1):
    frame = page.copy()
    for place, picture in zip(places, pictures, strict=True):
      frame.paste(Image.fromarray(picture).resize((size, size), Image.Resampling.NEAREST), place)
    frames.append(frame.quantize(256, dither=Image.Dither.NONE))
  out = io.BytesIO()
  milliseconds = round(1000 / model.source.rate)
  frames[0].save(
    out, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False
  )
  return out.getvalue()


if __name__ == "__main__":
  run(main)
