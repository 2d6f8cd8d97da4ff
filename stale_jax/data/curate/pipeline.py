"""The two passes over all videos, on Apache Beam: examine and compare, then encode.

What one worker needs lies in files that every worker sees: the videos, and what is remembered. Nothing of a
pass is taken from a run that was killed but what had been finished and remembered.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from stale_jax.data.curate import encode, examine
from stale_jax.data.curate.apart import Apart
from stale_jax.data.curate.describe import File, describe_video
from stale_jax.data.curate.hashes import distances, from_text, hash_pieces
from stale_jax.data.curate.judge import clip_id, fault
from stale_jax.data.curate.remembered import Remembered, key_of
from stale_jax.data.curate.settings import Settings
from stale_jax.data.decode.container import Unreadable
from stale_jax.errors import UserError

_NEIGHBOURS = 1000  # With so many others a clip is compared where very many have a piece of hash in common.
# Seconds that a file may take: some, and more for each of its million bytes.
_PATIENCE = (120.0, 30.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
  """Where a run reads and writes, and what it must not tell: it goes to the workers."""

  root: str
  work: str
  salt: str

  def remembered(self, what: str) -> Remembered:
    return Remembered(Path(self.work) / what)

  @property
  def scratch(self) -> Path:
    return Path(self.work) / "scratch"


def local_options(workers: int) -> list[str]:
  """Beam's flags for this machine alone."""
  # With the second it does not go and fetch the Prism runner from the network. There are no triggers here.
  direct = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--default_sdk_harness_log_level=ERROR"]
  if workers > 1:
    direct += ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
  return direct


def open_pipeline(options: list[str]) -> beam.Pipeline:
  """A pipeline that these of Beam's flags describe; raises UserError if they describe none."""
  try:
    return beam.Pipeline(options=PipelineOptions(options))
  except (ValueError, ImportError, AttributeError) as error:
    raise UserError(f"Beam does not understand {' '.join(options)!r}: {error}") from error


def examine_all(
  files: Sequence[File], research: Mapping[str, str], place: Place, settings: Settings, options: list[str]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
  """Every file's report (see `_Examine`), by id, and the pairs of clips that are near-duplicates.

  Raises:
    UserError: a report that is an error.
  """
  lines = [json.dumps([*dataclasses.astuple(f), research.get(f.path, "")]) for f in files]
  videos, links = place.scratch / "videos", place.scratch / "links"
  with open_pipeline(options) as pipeline:
    reports = (
      pipeline
      | "files" >> beam.Create(lines)
      | "spread files" >> beam.Reshuffle()
      | "examine" >> beam.ParDo(_Examine(place, settings))
    )
    reports | "write reports" >> beam.io.WriteToText(str(videos))
    (
      reports
      | "bands" >> beam.FlatMap(_banded, settings)
      | "alike" >> beam.GroupByKey()
      | "compare" >> beam.FlatMap(_near, settings.nearest)
      | "each once" >> beam.Distinct()
      | "write links" >> beam.io.WriteToText(str(links))
    )
  reports = sorted(map(json.loads, _lines(videos)), key=lambda report: report["id"])
  _raise_errors(reports)
  return reports, sorted(tuple(line.split()) for line in _lines(links))


def encode_all(
  clips: Sequence[Mapping[str, Any]], place: Place, settings: Settings, captioner: str, options: list[str]
) -> dict[str, dict[str, Any]]:
  """Clip id -> what `encode.encode` returns and the `file`, or the `reason` why there is none.

  Args:
    clips: each with `id`, `file` (File), `start`, `end` and `known` (Described, as JSON).

  Raises:
    UserError: the captioner's.
  """
  lines = [
    json.dumps([c["id"], dataclasses.astuple(c["file"]), c["start"], c["end"], c["known"]]) for c in clips
  ]
  out = place.scratch / "encoded"
  with open_pipeline(options) as pipeline:
    (
      pipeline
      | "clips" >> beam.Create(lines)
      | "spread clips" >> beam.Reshuffle()
      | "encode" >> beam.ParDo(_Encode(place, settings, captioner))
      | "write encoded" >> beam.io.WriteToText(str(out))
    )
  reports = sorted(map(json.loads, _lines(out)), key=lambda report: report["id"])
  _raise_errors(reports)
  return {report["id"]: report for report in reports}


class _Trusting(beam.DoFn):
  """Calls functions on files that are not trusted, in a process apart."""

  def __init__(self, place: Place, settings: Settings):
    self._place, self._settings, self._apart = place, settings, None

  def setup(self):
    self._apart = Apart()

  def teardown(self):
    self._apart.close()

  def _call(self, module, function: str, file: File, **arguments) -> dict[str, Any]:
    path, (least, more) = os.path.join(self._place.root, file.path), _PATIENCE
    seconds = least + more * file.size / 1e6
    return self._apart.call(f"{module.__name__}:{function}", path, seconds, path=path, **arguments)


class _Examine(_Trusting):
  """A file -> its report: `id`, `path`, what `examine` and `describe_video` (as `known`) say, or a `reason`.

  As JSON, in which the name of a file may have any bytes.
  """

  def process(self, line: str) -> Iterator[str]:
    *file, research = json.loads(line)
    file, place = File(*file), self._place
    report = {"id": file.identity(place.salt), "path": file.path}
    remembered = place.remembered("examined")
    asked = {"least_seconds": self._settings.least_seconds, "most_seconds": self._settings.most_seconds}
    key = key_of(examine.VERSION, dataclasses.astuple(file), asked)
    try:
      if (found := remembered.get(key)) is None:
        try:
          found = self._call(examine, "examine", file, **asked)
        except Unreadable as error:
          found = {"reason": error.reason, "words": error.args[2]}
        remembered.put(key, found)
      if "reason" not in found:
        report["known"] = describe_video(place.root, file, research, place.salt)
      yield json.dumps({**report, **found})
    except (UserError, OSError) as error:
      yield json.dumps({**report, "error": str(error)})


class _Encode(_Trusting):
  """A clip -> what is written of it, as JSON."""

  def __init__(self, place: Place, settings: Settings, captioner: str):
    super().__init__(place, settings)
    self._captioner = captioner

  def process(self, line: str) -> Iterator[str]:
    name, file, start, end, known = json.loads(line)
    file, remembered = File(*file), self._place.remembered("encoded")
    asked = {
      "start": start,
      "end": end,
      "short_side": self._settings.short_side,
      "most_rate": self._settings.most_rate,
      "captioner": self._captioner,
      "known": known,
    }
    key = key_of(encode.VERSION, dataclasses.astuple(file), asked)
    out = remembered.path(key, ".mp4")
    try:
      if (found := remembered.get(key)) is None or ("reason" not in found and not out.exists()):
        try:
          found = self._call(encode, "encode", file, out=str(out), **asked)
        except Unreadable as error:
          found = {"reason": error.reason}
        remembered.put(key, found)
      yield json.dumps({"id": name, "file": str(out), **found})
    except (UserError, OSError) as error:
      yield json.dumps({"id": name, "error": str(error)})


def _banded(line: str, settings: Settings) -> Iterator[tuple[bytes, tuple[str, bytes]]]:
  """A report -> (piece of hash, (clip, its hash)) of each of its clips that has no fault."""
  report = json.loads(line)
  for number, clip in enumerate(report.get("clips", ())):
    if not fault(clip, settings):
      code = from_text(clip["hash"])
      for band in hash_pieces(code):
        yield band, (clip_id(report["id"], number), code.tobytes())


def _near(bucket: tuple[bytes, Iterable[tuple[str, bytes]]], nearest: int) -> Iterator[str]:
  """The pairs of clips, "ONE OTHER", that are near-duplicates; of different videos.

  A video's own clips are of one room and one person, and are not the same for that.
  """
  clips = sorted(bucket[1], key=lambda clip: (clip[1], clip[0]))
  if len(clips) < 2:
    return
  codes = np.stack([from_text(code.hex()) for _, code in clips])
  videos = np.array([name.rpartition("_")[0] for name, _ in clips])
  for i in range(1, len(clips)):
    before = slice(max(0, i - _NEIGHBOURS), i)
    for j in np.flatnonzero((distances(codes[i], codes[before]) <= nearest) & (videos[before] != videos[i])):
      yield " ".join(sorted((clips[before.start + j][0], clips[i][0])))


def _lines(prefix: Path) -> Iterator[str]:
  for path in sorted(prefix.parent.glob(prefix.name + "-*-of-*")):
    yield from path.read_text(encoding="utf-8").splitlines()


def _raise_errors(reports: Iterable[Mapping[str, Any]]) -> None:
  for report in reports:
    if "error" in report:
      raise UserError(report["error"])
