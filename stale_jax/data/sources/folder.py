"""A folder of videos with their captions, yt-dlp metadata and sensory tracks."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable

import numpy as np

from stale_jax.clip import Sense
from stale_jax.data.buckets import Window
from stale_jax.data.decode.container import File
from stale_jax.data.decode.tracks import ENDINGS_OF_TRACKS, read_tracks
from stale_jax.data.metadata import Described, is_held_out, read_described, to_json
from stale_jax.data.print_once import or_left_out
from stale_jax.data.source import Spread, in_threads
from stale_jax.data.sources.videos import Videos, flat_sense
from stale_jax.data.storage import beside, content_hash, is_folder, list_files
from stale_jax.errors import UserError
from stale_jax.fields import number

ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".flv", ".3gp", ".ogv", ".mpg", ".mxf")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(Videos):
  """The videos of a folder and its subfolders. `Videos` documents the other settings.

  The folder of NAME.mp4 may also contain its caption NAME.txt, yt-dlp's NAME.info.json, and other senses
  (`data.decode.tracks`): NAME.npz with NAME.json, NAME.sem.xml, NAME.hjif. A clip has the senses for which
  there are tracks.

  Attributes:
    path: a folder, or an address that fsspec can read, such as gs://BUCKET/FOLDER.
    held_out: fraction of the uploaders in the test split (of the videos, if their uploader is unknown).
    touch, smell, taste: names of the channels to read from the tracks; a sense without channels is omitted.
  """

  path: str
  held_out: float = number(0.1, least=0, most=1)
  touch: tuple[str, ...] = ()
  smell: tuple[str, ...] = ()
  taste: tuple[str, ...] = ()

  @property
  def senses(self) -> dict[str, Sense]:
    """The senses that clips can have, by name."""
    return super().senses | self._tracked

  @functools.cached_property
  def _tracked(self) -> dict[str, Sense]:
    channels = {"touch": self.touch, "smell": self.smell, "taste": self.taste}
    return {name: flat_sense(name, names, self) for name, names in channels.items() if names}

  def count(self) -> int:
    """The number of videos in the split. Raises UserError if the split has none."""
    return len(self._videos)

  def find(self, which: int) -> tuple[File, Described]:
    """The path and metadata of the video at `which`. The videos of a split are sorted by name."""
    return self._videos[which]

  def cut(self, file: File, window: Window) -> dict[str, np.ndarray]:
    """The clip in `window`, with the senses that its tracks contain: sense -> [frames, *shape].

    Raises:
      Unreadable: the video or a track cannot be read.
    """
    return super().cut(file, window) | read_tracks(file, self._tracked, window.times)

  def content(self, spread: Spread = in_threads) -> str:
    """See `Source`: a hash of the videos, their metadata, and the tracks beside them."""
    self.prepare(spread)
    each = spread(lambda which: self._fact(*self._videos[which]), len(self._videos))
    return hashlib.sha256("\n".join(each).encode()).hexdigest()

  def _fact(self, path: str, described: Described) -> str:
    each = [path, *(beside(path, ending) for ending in (ENDINGS_OF_TRACKS if self._tracked else ()))]
    return " ".join([path.removeprefix(self.path), to_json(described), *map(_content, each)])

  def describer(self) -> Callable[[str], Described | None]:
    """A function from a path to the video's metadata; it returns None for a file that is not to be used."""
    return read_described

  def prepare(self, spread: Spread = in_threads) -> None:
    """See `Source`: lists the folder and reads the metadata of its videos."""
    if "_videos" not in vars(self):
      vars(self)["_videos"] = self._scan(spread)
    super().prepare(spread)

  # The folder is listed only when an example is read, so that a trained model can be loaded without its data.
  @functools.cached_property
  def _videos(self) -> list[tuple[str, Described]]:
    return self._scan(in_threads)

  def _scan(self, spread: Spread) -> list[tuple[str, Described]]:
    """(path, metadata) of the videos in the split. One process lists the folder, so that all agree on it."""
    [paths] = spread(lambda _: _list_videos(self.path), 1)
    describe = self.describer()
    known = spread(lambda which: or_left_out(describe, paths[which], UserError), len(paths))
    videos = [(path, described) for path, described in zip(paths, known, strict=True) if described]
    wanted = self.split == "test"
    in_split = [(path, one) for path, one in videos if is_held_out(one, self.held_out) == wanted]
    if not in_split:
      raise UserError(
        f"source.path={self.path!r}: none of its {len(videos)} videos is in the split {self.split!r}"
        f" (source.held_out={self.held_out})."
      )
    return in_split


def _content(path: str) -> str:
  """The hash of a file; "unreadable" if it cannot be read, as for a file that is left out."""
  try:
    return content_hash(path)
  except OSError:
    return "unreadable"


def _list_videos(folder: str) -> list[str]:
  """The paths of the files in `folder` and its subfolders whose names end in one of ENDINGS, sorted.

  Raises:
    UserError: `folder` is not a folder, or contains no such file.
  """
  if not is_folder(folder):
    raise UserError(f"source.path={folder!r} is not a folder; set --config.source.path=DIR.")
  paths = [path for path in list_files(folder) if path.lower().endswith(ENDINGS)]
  if not paths:
    raise UserError(f"source.path={folder!r} contains no video: no file name ends in {', '.join(ENDINGS)}.")
  return paths
