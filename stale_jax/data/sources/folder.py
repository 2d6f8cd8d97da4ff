"""A folder of videos, with what lies beside them: captions, yt-dlp's info, sensory tracks."""

import dataclasses
import functools
import os
from collections.abc import Callable

import numpy as np

from stale_jax.clip import Sense
from stale_jax.data.buckets import Window
from stale_jax.data.decode.container import File
from stale_jax.data.decode.tracks import read_tracks
from stale_jax.data.metadata import Described, is_held_out, read_described
from stale_jax.data.said import say
from stale_jax.data.sources.videos import Videos, flat_sense
from stale_jax.errors import UserError
from stale_jax.fields import number

ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".flv", ".3gp", ".ogv", ".mpg", ".mxf")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(Videos):
  """The videos of a folder and the folders in it. See `Videos` for what is common to such sources.

  Beside NAME.mp4 may lie its caption NAME.txt, yt-dlp's NAME.info.json, and other senses
  (data/decode/tracks.py): NAME.npz with NAME.json, NAME.sem.xml, NAME.hjif. A clip has the senses whose
  tracks are there.

  Attributes:
    path: the folder, on a disk.
    held_out: share of the uploaders (of the videos whose uploader is not known) that is for testing.
    touch, smell, taste: names of the channels to look for in the tracks; without any, no such sense.
  """

  path: str
  held_out: float = number(0.1, least=0, most=1)
  touch: tuple[str, ...] = ()
  smell: tuple[str, ...] = ()
  taste: tuple[str, ...] = ()

  @property
  def senses(self) -> dict[str, Sense]:
    """Every sense this source can give, by name."""
    return super().senses | self._tracked

  @functools.cached_property
  def _tracked(self) -> dict[str, Sense]:
    channels = {"touch": self.touch, "smell": self.smell, "taste": self.taste}
    return {name: flat_sense(name, names, self) for name, names in channels.items() if names}

  def count(self) -> int:
    """How many videos of the split there are; raises UserError if none."""
    return len(self._found)

  def find(self, which: int) -> tuple[File, Described]:
    """Video number `which` of the split, in the order of their names."""
    return self._found[which]

  def cut(self, file: File, window: Window) -> dict[str, np.ndarray]:
    """The clip in that window, with the senses of its tracks. Raises Unreadable."""
    return super().cut(file, window) | read_tracks(file, self._tracked, window.times)

  def describer(self) -> Callable[[str], Described | None]:
    """From a file to what is known of it, None if it is not one of the source's."""
    return read_described

  # Looked for when the first example is: a trained model does without its data.
  @functools.cached_property
  def _found(self) -> list[tuple[str, Described]]:
    found, videos, describe = [], 0, self.describer()
    for path in _videos(self.path):
      try:
        described = describe(path)
      except UserError as error:
        say(f"left out: {error}")
        continue
      if described is not None:
        videos += 1
        if is_held_out(described, self.held_out) == (self.split == "test"):
          found.append((path, described))
    if not found:
      raise UserError(
        f"source.path={self.path!r}: none of its {videos} videos is in the split {self.split!r}"
        f" (source.held_out={self.held_out})."
      )
    return found


def _videos(folder: str) -> list[str]:
  """The files of the folder and the folders in it that are called like videos; raises UserError if none."""
  if not os.path.isdir(folder):
    raise UserError(f"source.path={folder!r} is no folder on a disk; set --config.source.path=DIR.")
  found = []
  for where, folders, files in os.walk(folder):
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    hits = (name for name in files if name.lower().endswith(ENDINGS) and not name.startswith("."))
    found += [os.path.join(where, name) for name in sorted(hits)]
  if not found:
    raise UserError(f"source.path={folder!r} holds no video; one ends in {', '.join(ENDINGS)}.")
  return found
