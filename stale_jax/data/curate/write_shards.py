"""Writes the clips that are kept to the shards of the data set.

The input is a folder with the clips.jsonl of `encode_clips`. The result of a group is one shard, the file
`shard`, and size.json: its numbers of records and bytes.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stale_jax.data.curate.place import Lines
from stale_jax.data.curate.stage import Step
from stale_jax.data.metadata import share_of
from stale_jax.data.shard_files import write_shard
from stale_jax.data.sources.shards import record

_SHARD_BYTES = 1 << 29  # Size of a shard.


def shards_for(sizes: Mapping[str, int]) -> dict[str, int]:
  """The number of shards of each split, from the number of bytes in its clips."""
  return {split: -(-size // _SHARD_BYTES) for split, size in sizes.items() if size}


class WriteShards(Step):
  """Divides the clips of each split among its shards by their ids.

  Args:
    shards: split -> number of its shards.
  """

  def __init__(self, shards: Mapping[str, int]):
    self._shards = dict(shards)

  def map(self, line: str) -> Iterator[tuple[int, bytes]]:
    """See `Step`."""
    counts = self._shards.values()
    firsts = dict(zip(self._shards, itertools.accumulate(counts, initial=0), strict=False))
    for clip in Lines([Path(line) / "clips.jsonl"]):
      if not clip["reason"]:
        number = firsts[clip["split"]] + int(share_of(clip["id"]) * self._shards[clip["split"]])
        yield number, json.dumps([clip["id"], clip["encoded"]["file"], clip["metadata"]]).encode()

  def reduce(self, key: int, values: Sequence[bytes], folder: Path) -> None:
    """See `Step`."""
    clips = sorted(map(json.loads, values), key=lambda clip: clip[0])
    records = (record(Path(file).read_bytes(), metadata) for _, file, metadata in clips)
    (folder / "size.json").write_text(json.dumps(write_shard(folder / "shard", records)))

  def splits(self, folders: Sequence[Path]) -> dict[str, list[tuple[Path, int, int]]]:
    """The shards of each split, from the results of the stage, as `shard_files.assemble` expects them."""
    out: dict[str, list[Any]] = {split: [] for split in self._shards}
    names = [split for split, count in self._shards.items() for _ in range(count)]
    for folder in folders:
      size = json.loads((folder / "size.json").read_text())
      out[names[int(folder.name)]].append((folder / "shard", *size))
    return out
