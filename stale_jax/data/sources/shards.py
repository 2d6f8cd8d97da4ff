"""Curated clips in ArrayRecord shards, written and read with TensorFlow Datasets, without TensorFlow.

A record contains the bytes of one video file, cut and scaled so that it decodes fast, and a JSON object with
its metadata (`metadata.to_json`, and the fields that curation adds).
"""

import contextlib
import dataclasses
import functools
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stale_jax.data.decode.container import File
from stale_jax.data.decode.video import probe
from stale_jax.data.metadata import Described, from_json, without_mentions
from stale_jax.data.print_once import print_once
from stale_jax.data.source import Spread, in_threads
from stale_jax.data.sources.check import SPLITS
from stale_jax.data.sources.tfds import content_of, manifest_of, open_data
from stale_jax.data.sources.videos import Videos
from stale_jax.data.storage import read_text
from stale_jax.errors import UserError


def record_features():
  """The features of a record, for TensorFlow Datasets."""
  import tensorflow_datasets as tfds

  # Text stores bytes unchanged; tfds.features.Video would decode the file to pictures.
  return tfds.features.FeaturesDict({"video": tfds.features.Text(), "metadata": tfds.features.Text()})


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
  """Writes a data set.

  Args:
    folder: the parent folder of the data set.
    splits: "train" or "test" -> pairs of a unique key and a `record`; or a Beam transform that makes at least
      one such pair and is run by TensorFlow Datasets. An empty split is omitted.

  Returns:
    The folder of the data set, `folder`/clips/1.0.0.

  Raises:
    UserError: the data set already exists, cannot be written, or would be empty; or a key is repeated.
  """
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  checked = {name: _checked(examples) for name, examples in splits.items()}
  checked = {name: examples for name, examples in checked.items() if examples is not None}
  if not checked:
    raise UserError(f"there is no clip to write to {folder}: all splits are empty.")
  builder = _builder(folder, checked)
  if Path(builder.data_dir).exists():
    raise UserError(f"{builder.data_dir} holds a data set already; choose another folder.")
  try:
    builder.download_and_prepare(file_format="array_record")
  except OSError as error:
    raise UserError(f"cannot write to {folder}: {error.strerror or error}.") from error
  return Path(builder.data_dir)


def _checked(examples):
  """Wraps `examples` in an iterator that raises UserError at a repeated key.

  Returns:
    The iterator; None if there are no examples; a Beam transform unchanged.
  """
  if not isinstance(examples, Iterable):
    return examples
  examples = iter(examples)
  first = next(examples, None)

  def checked():
    seen = set()
    for key, example in itertools.chain([first], examples):
      if key in seen:
        raise UserError(f"two clips have the same key, {key!r}.")
      seen.add(key)
      yield key, example

  return checked() if first is not None else None


def _builder(folder: str | Path, splits):
  import tensorflow_datasets as tfds

  class Clips(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
      return tfds.core.DatasetInfo(builder=self, features=record_features())

    def _split_generators(self, dl_manager):
      return splits

    def _generate_examples(self):
      raise NotImplementedError  # Abstract in the base class, but `_split_generators` returns the examples.

  return Clips(data_dir=str(folder), file_format="array_record")
