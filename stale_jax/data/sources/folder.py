"""A folder of videos with their captions, yt-dlp metadata and sensory tracks."""

import collections
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stale_jax.clip import Sense
from stale_jax.data.buckets import Window
from stale_jax.data.content import content_hashes
from stale_jax.data.decode.container import File, Unreadable
from stale_jax.data.decode.tracks import ENDINGS_OF_TRACKS, read_tracks
from stale_jax.data.metadata import Described, are_held_out, read_described, to_json
from stale_jax.data.print_once import print_left_out, print_once
from stale_jax.data.source import Spread, in_threads
from stale_jax.data.sources.videos import Videos, flat_sense
from stale_jax.data.storage import beside, is_folder, versions
from stale_jax.errors import UserError
from stale_jax.fields import number

_PICTURES = (".gif", ".webp")  # Moving pictures, or still ones.
ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".flv", ".3gp", ".ogv")
ENDINGS += (".mpg", ".mpeg", ".vob", ".mxf", ".wmv", ".asf", *_PICTURES)
# Endings of files that are read with a video, or by curation.
_BESIDE = (".txt", ".json", ".jsonl", *ENDINGS_OF_TRACKS)


class _Scan(NamedTuple):
  """What is known of the videos of a split without decoding them.

  Attributes:
    videos: (path, metadata) of each video, sorted by name.
    versions: the version of each video and of its tracks (see `storage.versions`).
  """

  videos: list[tuple[str, Described]]
  versions: list[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(Videos):
  """The videos of a folder and its subfolders. `Videos` documents the other settings.

  The folder of NAME.mp4 may also contain its caption NAME.txt, yt-dlp's NAME.info.json, and other senses
  (`data.decode.tracks`): NAME.npz with NAME.json, NAME.sem.xml, NAME.hjif. A clip has the senses for which
  there are tracks. A file beside a video that cannot be read is named on stderr and left out.

  Attributes:
    path: a folder, or an address that fsspec can read, such as gs://BUCKET/FOLDER.
    held_out: fraction of the uploaders in the test split (see `metadata.are_held_out`).
    original_captions: fraction of the training videos that keep the caption of NAME.info.json although there
      is a NAME.txt, such as that of a captioner: .5 mixes them as Stable Diffusion 3 does.
    touch, smell, taste: names of the channels to read from the tracks; a sense without channels is omitted.
  """

  path: str
  held_out: float = number(0.1, least=0, most=1)
  original_captions: float = number(0.0, least=0, most=1)
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
      Unreadable: the video cannot be read.
    """
    clip = super().cut(file, window)
    try:
      return clip | read_tracks(file, self._tracked, window.times)
    except Unreadable as error:
      print_left_out(error.args[1], error)
      return clip

  def content(self, spread: Spread = in_threads) -> str:
    """See `Source`: a hash of the videos, their metadata, and the tracks beside them."""
    self.prepare(spread)
    endings = ENDINGS_OF_TRACKS if self._tracked else ()
    files = [[path, *(beside(path, ending) for ending in endings)] for path, _ in self._videos]
    hashes = iter(content_hashes(self.path, [path for each in files for path in each], spread))
    each = [
      " ".join([path.removeprefix(self.path), to_json(described), *(next(hashes) for _ in beside_it)])
      for (path, described), beside_it in zip(self._videos, files, strict=True)
    ]
    return _digest("\n".join(each))

  def manifest(self, spread: Spread = in_threads) -> dict[str, str]:
    """See `Source`: the videos of the split. Their metadata and their tracks belong to them."""
    self.prepare(spread)
    return {
      path.removeprefix(self.path).strip("/"): _digest(f"{version} {to_json(described)}")[:16]
      for (path, described), version in zip(self._videos, self._scanned.versions, strict=True)
    }

  def captions(self) -> Sequence[str]:
    """The captions of all videos of the split."""
    return [described.caption for _, described in self._videos]

  def describer(self) -> Callable[[str], Described | None]:
    """A function from a path to the video's metadata; it returns None for a file that is not to be used."""
    return functools.partial(_describe, original=self.original_captions if self.split == "train" else 0.0)

  def prepare(self, spread: Spread = in_threads) -> None:
    """See `Source`: lists the folder and reads the metadata of its videos."""
    if "_scanned" not in vars(self):
      vars(self)["_scanned"] = self._scan(spread)
    super().prepare(spread)

  @property
  def _videos(self) -> list[tuple[str, Described]]:
    return self._scanned.videos

  # The folder is listed only when an example is read, so that a trained model can be loaded without its data.
  @functools.cached_property
  def _scanned(self) -> _Scan:
    return self._scan(in_threads)

  def _scan(self, spread: Spread) -> _Scan:
    """The videos in the split. One process lists the folder, so that all agree on it."""
    [found] = spread(lambda _: _find_videos(self.path, bool(self._tracked)), 1)
    paths = list(found)
    describe = self.describer()
    known = spread(lambda which: describe(paths[which]), len(paths))
    videos = [(path, described) for path, described in zip(paths, known, strict=True) if described]
    if others := len(paths) - len(videos):
      words = f"{others} of {len(paths)} videos are left out, because no metadata describe them."
      spread(lambda _: print_once(f"{self.path}: {words}"), 1)
    held_out = are_held_out([described for _, described in videos], self.held_out)
    in_split = [one for one, held in zip(videos, held_out, strict=True) if held == (self.split == "test")]
    if not in_split:
      raise UserError(
        f"source.path={self.path!r}: none of its {len(videos)} videos is in the split {self.split!r}"
        f" (source.held_out={self.held_out})."
      )
    return _Scan(in_split, [found[path] for path, _ in in_split])


def _describe(path: str, original: float) -> Described:
  described, faults = read_described(path, original)
  for name, reason in faults.items():
    print_left_out(name, reason)
  return described


def _digest(text: str) -> str:
  # A name of a file that is not valid UTF-8 contains surrogates.
  return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _find_videos(folder: str, with_tracks: bool) -> dict[str, str]:
  """The files in `folder` and its subfolders whose names end in one of ENDINGS, sorted.

  The number of files that are neither such nor read with them is reported on stderr.

  Args:
    folder: a path or an address.
    with_tracks: whether the version of a video includes those of its tracks.

  Returns:
    Path of the video -> its version (`storage.versions`).

  Raises:
    UserError: `folder` is not a folder, or contains no such file.
  """
  if not is_folder(folder):
    raise UserError(f"source.path={folder!r} is not a folder; set --config.source.path=DIR.")
  found = versions(folder)
  videos = [path for path in found if path.lower().endswith(ENDINGS)]
  stems = {beside(path, "") for path in videos if not path.lower().endswith(_PICTURES)}
  # A picture with the name of a video is its thumbnail.
  videos = [path for path in videos if not (path.lower().endswith(_PICTURES) and beside(path, "") in stems)]
  if not videos:
    raise UserError(f"source.path={folder!r} contains no video: no file name ends in {', '.join(ENDINGS)}.")
  others = [path for path in found.keys() - set(videos) if not path.lower().endswith(_BESIDE)]
  if others:
    print_once(f"{folder}: {_counted(others)}")
  endings = ("", *ENDINGS_OF_TRACKS) if with_tracks else ("",)
  return {path: _joined(found, path, endings) for path in videos}


def _joined(found: Mapping[str, str], path: str, endings: Sequence[str]) -> str:
  return " ".join(found.get(beside(path, ending) if ending else path, "") for ending in endings)


def _counted(others: Sequence[str]) -> str:
  counts = collections.Counter(os.path.splitext(path)[1].lower() or "without an ending" for path in others)
  each = ", ".join(f"{n} {ending}" for ending, n in sorted(counts.items(), key=lambda one: (-one[1], one[0])))
  return f"{len(others)} file(s) are not read, because their names do not end like those of videos: {each}."
