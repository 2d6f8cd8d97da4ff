"""Curated clips in ArrayRecord shards, written and read with TensorFlow Datasets, without TensorFlow.

A record contains the bytes of one video file, cut and scaled so that it decodes fast, and a JSON object with
its metadata (`metadata.to_json`, and the fields that curation adds).
"""

import contextlib
import dataclasses
import functools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stale_jax.data.decode.container import File
from stale_jax.data.decode.video import probe
from stale_jax.data.metadata import Described, from_json, without_mentions
from stale_jax.data.print_once import print_once
from stale_jax.data.shard_files import NAME, VERSION, assemble, write_shard
from stale_jax.data.source import Spread, in_threads
from stale_jax.data.sources.check import SPLITS
from stale_jax.data.sources.tfds import content_of, manifest_of, open_data
from stale_jax.data.sources.videos import Videos
from stale_jax.data.storage import read_text
from stale_jax.errors import UserError
from stale_jax.files import make_folder


def record(video: bytes, metadata: Mapping[str, Any]) -> dict[str, bytes]:
  """One record: the bytes of a video file, and its metadata, whose keys include the fields of `Described`."""
  return {"video": video, "metadata": json.dumps(metadata, ensure_ascii=False, sort_keys=True).encode()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shards(Videos):
  """The clips of a data set written by `write_shards`. `Videos` documents the other settings.

  Attributes:
    path: the folder of the data set, which contains dataset_info.json, or its address (`data.storage`), of
      which a copy is made in the cache folder.
    takedown: path of a file that lists clips that must no longer be used. Each line is the source_id, url,
      uploader or one of the accounts in the metadata of a clip; a url may also be the original one, with the
      @name that curation removes. The file is read when the first example is read. Lines that match no clip
      of any split are reported once, on stderr.
  """

  path: str
  takedown: str = ""

  def count(self) -> int:
    """The number of clips in the split."""
    return len(self._records)

  def content(self, spread: Spread = in_threads) -> str:
    """See `Source`."""
    return content_of(self.path, spread)

  def manifest(self, spread: Spread = in_threads) -> dict[str, str]:
    """See `Source`."""
    return manifest_of(self.path, spread)

  def find(self, which: int) -> tuple[File, Described] | None:
    """The bytes and metadata of the clip at `which` in the split; None if it was taken down."""
    record = self._records[which]
    described = from_json(record["metadata"], f"{self.path}, clip {which}")
    if not self.taken_down.isdisjoint(_names_of(described)):
      return None
    return record["video"], described

  def measure(self, which: int) -> tuple[int, int, float]:
    """(width in pixels, height in pixels, seconds) of the clip at `which`, from its metadata if possible.

    Raises:
      Unreadable: the metadata lack the size or the duration, and the video cannot be read.
    """
    record = self._records[which]
    metadata = json.loads(record["metadata"])
    if {"width", "height", "frames", "rate"} <= metadata.keys():
      return metadata["width"], metadata["height"], metadata["frames"] / metadata["rate"]
    properties = probe(record["video"])
    return properties.width, properties.height, properties.seconds

  @functools.cached_property
  def _records(self):
    return open_data(self.path, self.split)[1]

  @functools.cached_property
  def taken_down(self) -> frozenset[str]:
    """The lines of the file `takedown`, and the same lines with each @name replaced by "@".

    Reports lines that match no clip on stderr.

    Raises:
      UserError: the file cannot be read.
    """
    if (text := read_text(self.takedown) if self.takedown else "") is None:
      raise UserError(f"source.takedown={self.takedown!r} cannot be read: there is no such file.")
    lines_of: dict[str, set[str]] = {}
    for line in {line.strip() for line in text.splitlines()} - {""}:
      for name in (line, without_mentions(line)):
        lines_of.setdefault(name, set()).add(line)
    if left := self._unmatched(lines_of):
      words = f"{len(left)} of its lines name no clip, the first {min(left)!r}."
      print_once(f"source.takedown={self.takedown}: {words}")
    return frozenset(lines_of)

  def _unmatched(self, lines_of: Mapping[str, set[str]]) -> set[str]:
    """The lines that match no clip of any split. Reads the metadata of clips until all lines are matched.

    Args:
      lines_of: identifier of a clip -> the lines of `takedown` that denote the clip.
    """
    left = set().union(*lines_of.values())
    for split in SPLITS:
      with contextlib.suppress(UserError):  # A split may not exist; if it is `self.split`, `find` raises.
        data = open_data(self.path, split)[1] if left else ()
        for which in range(len(data)):
          described = from_json(data[which]["metadata"])
          for name in _names_of(described):
            left -= lines_of.get(name, set())
          if not left:
            break
    return left


def _names_of(described: Described) -> tuple[str, ...]:
  """By what a clip can be taken down."""
  return (described.source_id, described.url, described.uploader, *described.accounts)


def write_shards(folder: str | Path, splits: Mapping[str, Iterable[tuple[str, dict[str, bytes]]]]) -> Path:
  """Writes a data set with one shard for each split.

  Args:
    folder: the parent folder of the data set.
    splits: "train" or "test" -> pairs of a unique key and a `record`. An empty split is omitted.

  Returns:
    The folder of the data set, `folder`/clips/1.0.0.

  Raises:
    UserError: the data set already exists, cannot be written, or would be empty; or a key is repeated.
  """
  data = Path(folder) / NAME / VERSION
  if data.exists():
    raise UserError(f"{data} holds a data set already; choose another folder.")
  try:
    make_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
      shards = {}
      for name, examples in splits.items():
        path = Path(temporary) / name
        count, size = write_shard(path, _unique(examples))
        if count:
          shards[name] = [(path, count, size)]
      if not shards:
        raise UserError(f"there is no clip to write to {folder}: all splits are empty.")
      assemble(data, shards)
  except OSError as error:
    raise UserError(f"cannot write to {folder}: {error.strerror or error}.") from error
  return data


def _unique(examples: Iterable[tuple[str, dict[str, bytes]]]) -> Iterator[dict[str, bytes]]:
  """Yields the records; raises UserError at a repeated key."""
  seen = set()
  for key, example in examples:
    if key in seen:
      raise UserError(f"two clips have the same key, {key!r}.")
    seen.add(key)
    yield example
