"""Curated clips in ArrayRecord shards, written and read through TensorFlow Datasets, without TensorFlow.

A record is the bytes of one small video file, cut and scaled so that it decodes fast, and one JSON
object that says what is known of it (`metadata.to_json`, and whatever curating adds).
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
from stale_jax.data.said import say
from stale_jax.data.sources.check import SPLITS
from stale_jax.data.sources.tfds import open_data
from stale_jax.data.sources.videos import Videos
from stale_jax.errors import UserError


def record_features():
  """What a record holds, in the terms of TensorFlow Datasets."""
  import tensorflow_datasets as tfds

  # As bytes that are left alone: what it calls a video is a list of pictures.
  return tfds.features.FeaturesDict({"video": tfds.features.Text(), "metadata": tfds.features.Text()})


def record(video: bytes, metadata: Mapping[str, Any]) -> dict[str, bytes]:
  """One example: a whole video file, and an object whose keys include those of Described."""
  return {"video": video, "metadata": json.dumps(metadata, ensure_ascii=False, sort_keys=True).encode()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shards(Videos):
  """The clips of a data set that `write_shards` wrote. See `Videos` for what is common to such sources.

  Attributes:
    path: the folder of the data set, which holds its dataset_info.json.
    takedown: a file that names what is not to be used any more: the id, the address or the uploader of a
      video in each line, as its metadata has them; an address may still have its @name. It is read when
      the first example is; what names no clip of any split is said once, on stderr.
  """

  path: str
  takedown: str = ""

  def count(self) -> int:
    """How many clips there are."""
    return len(self._records)

  def find(self, which: int) -> tuple[File, Described] | None:
    """Clip number `which` of the split; None if it was taken down."""
    found = self._records[which]
    described = from_json(found["metadata"], f"{self.path}, clip {which}")
    if self.taken_down & {described.source_id, described.url, described.uploader}:
      return None
    return found["video"], described

  def measure(self, which: int) -> tuple[int, int, float]:
    """Width, height and seconds of clip number `which`: what curating says of it. Raises Unreadable."""
    record = self._records[which]
    known = json.loads(record["metadata"])
    if {"width", "height", "frames", "rate"} <= known.keys():
      return known["width"], known["height"], known["frames"] / known["rate"]
    about = probe(record["video"])
    return about.width, about.height, about.seconds

  @functools.cached_property
  def _records(self):
    return open_data(self.path, self.split)[1]

  @functools.cached_property
  def taken_down(self) -> frozenset[str]:
    """What `takedown` names, an address also without its @name; says how many lines name no clip."""
    try:
      lines = Path(self.takedown).read_text(encoding="utf-8").splitlines() if self.takedown else []
    except (OSError, UnicodeDecodeError) as error:
      raise UserError(f"source.takedown={self.takedown!r} cannot be read: {error}.") from error
    lines_of: dict[str, set[str]] = {}
    for line in {line.strip() for line in lines} - {""}:
      for name in (line, without_mentions(line)):
        lines_of.setdefault(name, set()).add(line)
    if left := self._unknown(lines_of):
      say(f"source.takedown={self.takedown}: {len(left)} of its lines name no clip, the first {min(left)!r}.")
    return frozenset(lines_of)

  def _unknown(self, lines_of: Mapping[str, set[str]]) -> set[str]:
    """Of the lines, those of whose names there is none in any split; all is read while there are any."""
    left = set().union(*lines_of.values())
    for split in SPLITS:
      with contextlib.suppress(UserError):  # There may be no such split; of its own, `find` complains.
        data = open_data(self.path, split)[1] if left else ()
        for which in range(len(data)):
          described = from_json(data[which]["metadata"])
          for name in (described.source_id, described.url, described.uploader):
            left -= lines_of.get(name, set())
          if not left:
            break
    return left


def write_shards(folder: str | Path, splits: Mapping[str, Iterable[tuple[str, dict[str, bytes]]]]) -> Path:
  """Writes a data set of `splits`, and returns its folder, `folder`/clips/1.0.0.

  Args:
    splits: "train", "test" -> (key, `record`) of each example, no key twice; or a Beam transform that
      makes such pairs, which TensorFlow Datasets runs, and which must make some. A split that has none
      is left out.

  Raises:
    UserError: there is such a data set already, or it cannot be written, or there is nothing to write.
  """
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  checked = {name: _checked(examples) for name, examples in splits.items()}
  checked = {name: examples for name, examples in checked.items() if examples is not None}
  if not checked:
    raise UserError(f"there is no clip to write to {folder}.")
  builder = _builder(folder, checked)
  if Path(builder.data_dir).exists():
    raise UserError(f"{builder.data_dir} holds a data set already; choose another folder.")
  try:
    builder.download_and_prepare(file_format="array_record")
  except OSError as error:
    raise UserError(f"cannot write to {folder}: {error.strerror or error}.") from error
  return Path(builder.data_dir)


def _checked(examples):
  """The same, whose keys are looked at on the way; None if there is none; Beam sees to its own."""
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
      raise NotImplementedError  # The splits are given.

  return Clips(data_dir=str(folder), file_format="array_record")
