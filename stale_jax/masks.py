"""Masks of clips: which values are unknown and have to be made."""

import re
from collections.abc import Mapping

import numpy as np

from stale_jax.clip import Sense
from stale_jax.errors import UserError
from stale_jax.fields import nearest
from stale_jax.files import at
from stale_jax.media import read_picture

# name -> the part of the picture that is unknown, as (rows, columns) from 0 to 1.
_PARTS = {
  "left": ((0, 1), (0, 0.5)),
  "right": ((0, 1), (0.5, 1)),
  "top": ((0, 0.5), (0, 1)),
  "bottom": ((0.5, 1), (0, 1)),
  "centre": ((0.25, 0.75), (0.25, 0.75)),
}
_FRAMES = re.compile(r"(first|last):(\d+)")


def read_mask(text: str, senses: Mapping[str, Sense], frames: int) -> dict[str, np.ndarray]:
  """Reads a mask: True where a value is unknown.

  Args:
    text: words separated by commas, whose parts are joined: left, right, top, bottom or centre, parts of
      sight; first:N or last:N frames of all senses; the name of a sense; or a file: a picture, whose bright
      pixels are unknown in all frames, or an .npy array [frames, height, width], unknown where it is not 0.
    senses: the senses of the clip, by name.
    frames: its number of frames.

  Returns:
    sense -> mask, [frames, *shape].

  Raises:
    UserError: a word is unknown, a file cannot be read or has another shape, or nothing is unknown.
  """
  masks = {name: np.zeros((frames, *sense.shape), bool) for name, sense in senses.items()}
  for word in text.split(","):
    word = word.strip()
    if word in senses:
      masks[word][:] = True
    elif match := _FRAMES.fullmatch(word):
      count = int(match[2])
      if not 1 <= count < frames:
        raise UserError(f"--mask={word}: the clip has {frames} frames; give 1 to {frames - 1}.")
      rows = slice(count) if match[1] == "first" else slice(-count, None)
      for mask in masks.values():
        mask[rows] = True
    elif (sight := senses.get("sight")) is None:
      raise UserError(f"--mask={word}: there is no sight; give some of {', '.join(senses)}.")
    elif word in _PARTS:
      height, width = sight.shape[:2]
      rows, columns = (
        slice(round(a * n), round(b * n)) for (a, b), n in zip(_PARTS[word], (height, width), strict=True)
      )
      masks["sight"][:, rows, columns] = True
    else:
      masks["sight"] |= _of_file(word, sight, senses, frames)[..., None]
  if not any(mask.any() for mask in masks.values()):
    raise UserError(f"--mask={text} leaves nothing unknown, so that there is nothing to make.")
  return masks


def _of_file(word: str, sight: Sense, senses: Mapping[str, Sense], frames: int) -> np.ndarray:
  """The mask of sight in a file, [frames, height, width] or [1, height, width]."""
  path, (height, width) = at(word), sight.shape[:2]
  if not path.is_file():
    words = [*_PARTS, *senses, f"first:{frames // 2 or 1}", f"last:{frames // 2 or 1}"]
    raise UserError(f"--mask={word} is neither a file nor a word: {nearest(word, words)}")
  if path.suffix != ".npy":
    return read_picture(path, height, width).mean(-1)[None] > 0
  try:
    with path.open("rb") as file:
      array = np.load(file, allow_pickle=False)
  except (ValueError, EOFError, OSError) as error:
    raise UserError(f"cannot read --mask={word}: {error}") from error
  if array.shape != (frames, height, width) or array.dtype.kind not in "biuf":
    raise UserError(
      f"--mask={word} has shape {array.shape} and type {array.dtype}; numbers of shape "
      f"{(frames, height, width)} are needed: frames, height, width."
    )
  return array != 0
