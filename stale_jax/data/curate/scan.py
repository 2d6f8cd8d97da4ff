"""Examines all files: measures videos and their clips, and reads their metadata.

A part's folder contains reports.jsonl, edges.txt (see `components`) and a `LookTable` of the clips that are
compared. A report has the `id`, `path` and `file` of the file. If the file can be read, it also has the
entries that `examine` returns, without the looks, and `known`, the result of `describe_video`; otherwise
`reason` and `words` (see `Unreadable`).
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stale_jax.data.curate import examine
from stale_jax.data.curate.components import Edge, write_edges
from stale_jax.data.curate.describe import File, describe_video
from stale_jax.data.curate.isolation import IsolatedProcess
from stale_jax.data.curate.judge import clip_id, clip_node, fault
from stale_jax.data.curate.likeness import look_from_text
from stale_jax.data.curate.link import LookTable
from stale_jax.data.curate.place import Place, write_lines
from stale_jax.data.curate.result_cache import key_of
from stale_jax.data.curate.settings import Settings
from stale_jax.data.curate.stage import Step
from stale_jax.data.decode.container import Unreadable

# Time limit for a file: seconds, and additional seconds for each million bytes.
_PATIENCE = (120.0, 30.0)


class Isolated(Step):
  """A step that calls functions on untrusted files in an isolated process."""

  def __init__(self, place: Place, settings: Settings):
    self.place, self.settings, self._process = place, settings, None

  def open(self) -> None:
    """See `Step`."""
    self._process = IsolatedProcess()

  def close(self) -> None:
    """See `Step`."""
    self._process.close()

  def call(self, module, function: str, file: File, **arguments) -> dict[str, Any]:
    """Calls a function of a module on a file; raises Unreadable and UserError as `IsolatedProcess.call`."""
    path, (base, per_megabyte) = os.path.join(self.place.root, file.path), _PATIENCE
    seconds = base + per_megabyte * file.size / 1e6
    return self._process.call(f"{module.__name__}:{function}", path, seconds, path=path, **arguments)


class Scan(Isolated):
  """Examines a file, given as JSON: the fields of `File`, and its metadata from the Research API."""

  def map(self, line: str) -> Iterator[tuple[int, bytes]]:
    """See `Step`."""
    *fields, research = json.loads(line)
    file, place = File(*fields), self.place
    report = {"id": file.identity(place.salt), "path": file.path, "file": fields}
    cache = place.cache("examined")
    arguments = {name: vars(self.settings)[name] for name in ("least_seconds", "most_seconds", "hdr")}
    key = key_of(examine.VERSION, dataclasses.astuple(file), arguments)
    if (result := cache.get(key)) is None:
      try:
        result = self.call(examine, "examine", file, **arguments)
      except Unreadable as error:
        result = {"reason": error.reason, "words": error.args[2]}
      cache.put(key, result)
    if "reason" not in result:
      report["known"] = describe_video(place.root, file, research, place.salt)
    yield place.part_of(report["id"]), json.dumps({**report, **result}).encode()

  def reduce(self, key: int, values: Sequence[bytes], folder: Path) -> None:
    """See `Step`."""
    reports = sorted(map(json.loads, values), key=lambda report: report["id"])
    nodes, looks, edges = [], [], []
    for report in reports:
      for number, clip in enumerate(report.get("clips", ())):
        look = clip.pop("look", None)
        if not fault(clip, self.settings):
          nodes.append(clip_node(report, clip_id(report["id"], number)))
          looks.append(look_from_text(look))
      edges += edges_of(report)
    write_lines(folder / "reports.jsonl", reports)
    write_edges(folder, edges)
    LookTable.write(folder, nodes, looks)


def edges_of(report: Mapping[str, Any]) -> list[Edge]:
  """The edges from a video to the names of its uploader and to its source."""
  known = report.get("known", {"uploader": "", "source": "", "accounts": ()})
  # Accounts are sorted after persons, by whose names groups are named and split.
  names = {"person": [known["uploader"]], "source": [known["source"]], "user": known["accounts"]}
  return [
    (f"video {report['id']}", f"{kind} {' '.join(name.split())}")
    for kind, each in names.items()
    for name in each
    if name
  ]
