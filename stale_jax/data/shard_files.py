"""Writes data sets of records in the format of TensorFlow Datasets, as ArrayRecord shards.

Shards are written one by one, by any process; then the files that describe the data set are written. Equal
records give equal bytes: TensorFlow Datasets' own serializer does not fix the order of the fields.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

NAME, VERSION = "clips", "1.0.0"


def record_features():
  """The features of a record, for TensorFlow Datasets."""
  import tensorflow_datasets as tfds

  # Text stores bytes unchanged; tfds.features.Video would decode the file to pictures.
  return tfds.features.FeaturesDict({"video": tfds.features.Text(), "metadata": tfds.features.Text()})


def write_shard(path: Path, records: Iterable[Mapping[str, bytes]]) -> tuple[int, int]:
  """Writes one shard.

  Args:
    path: the file.
    records: see `sources.shards.record`.

  Returns:
    The number of records, and of bytes in them.
  """
  from array_record.python.array_record_module import ArrayRecordWriter
  from tensorflow_datasets.core.example_serializer import ExampleSerializer

  features = record_features()
  serializer = ExampleSerializer(features.get_serialized_info())
  count, size = 0, 0
  writer = ArrayRecordWriter(str(path), "group_size:1")
  try:
    for each in records:
      example = serializer.get_tf_example(features.encode_example(dict(each)))
      data = example.SerializeToString(deterministic=True)
      writer.write(data)
      count, size = count + 1, size + len(data)
  finally:
    writer.close()
  return count, size


def assemble(folder: Path, splits: Mapping[str, Sequence[tuple[Path, int, int]]]) -> None:
  """Moves shards into the folder of a data set, and writes the files that describe it.

  Args:
    folder: the folder of the data set.
    splits: name of a split -> path, number of records and number of bytes of each of its shards.
  """
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core.naming import ShardedFileTemplate

  class Clips(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version(VERSION)

    def _info(self):
      return tfds.core.DatasetInfo(builder=self, features=record_features())

    def _split_generators(self, dl_manager):
      raise NotImplementedError

    def _generate_examples(self):
      raise NotImplementedError

  folder.mkdir(parents=True)
  info = Clips(data_dir=str(folder.parent.parent), file_format="array_record").info
  described = []
  for name, shards in splits.items():
    template = ShardedFileTemplate(
      data_dir=tfds.core.Path(folder), dataset_name=NAME, split=name, filetype_suffix="array_record"
    )
    for number, (path, _, _) in enumerate(shards):
      os.rename(path, template.sharded_filepath(shard_index=number, num_shards=len(shards)))
    lengths = [records for _, records, _ in shards]
    size = sum(size for _, _, size in shards)
    described.append(
      tfds.core.SplitInfo(name=name, shard_lengths=lengths, num_bytes=size, filename_template=template)
    )
  info.set_splits(tfds.core.splits.SplitDict(described))
  info.write_to_directory(folder)
