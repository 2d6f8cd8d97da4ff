"""The folders of a curation, and how its videos are divided into parts."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stale_jax.data.curate.result_cache import ResultCache

_PART = 2_000  # Videos in a part, on average.
_MOST_PARTS = 1_024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
  """The folders and the secret of a run, which are sent to the workers.

  Attributes:
    root: folder of the videos.
    work: folder of the caches and temporary files.
    salt: secret for hashing names (see `run.read_salt`).
    parts: number of parts into which the videos are divided by their ids.
    run: a name that no other run has.
  """

  root: str
  work: str
  salt: str
  parts: int
  run: str

  def cache(self, kind: str) -> ResultCache:
    """The cache of the results of one kind: "examined", "encoded" or "thumbnails"."""
    return ResultCache(Path(self.work) / kind)

  @property
  def scratch(self) -> Path:
    """The folder of temporary files, which exists only during a run."""
    return Path(self.work) / f"scratch-{self.run}"

  def part_of(self, video: str) -> int:
    """The part of the video with an id."""
    return int(video[:8], 16) % self.parts


def parts_for(videos: int) -> int:
  """The number of parts for a number of videos."""
  return min(_MOST_PARTS, -(-videos // _PART))


def write_lines(path: Path, rows: Iterable[Any]) -> None:
  """Writes each row as a line of JSON, which preserves all bytes of file names."""
  with path.open("w", encoding="utf-8") as file:
    file.writelines(json.dumps(row) + "\n" for row in rows)


class Lines:
  """The rows of JSON lines in several files, read anew each time, so that they need not fit into memory."""

  def __init__(self, paths: Sequence[Path]):
    self._paths = paths

  def __iter__(self) -> Iterator[Any]:
    for path in self._paths:
      with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
