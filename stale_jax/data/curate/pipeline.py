"""Runs the two passes over all videos on Apache Beam: examines and compares videos, then encodes clips.

All workers access the same folders of videos and of cached results. A resumed run reuses only the cached
results; the other files of an interrupted pass are discarded.
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
from stale_jax.data.curate.describe import File, describe_video
from stale_jax.data.curate.hashes import distances, from_text, hash_pieces
from stale_jax.data.curate.isolation import IsolatedProcess
from stale_jax.data.curate.judge import clip_id, fault
from stale_jax.data.curate.result_cache import ResultCache, key_of
from stale_jax.data.curate.settings import Settings
from stale_jax.data.decode.container import Unreadable
from stale_jax.errors import UserError

# A clip is compared with at most this many of the clips whose hash has a piece in common with its own.
_NEIGHBOURS = 1000
# Time limit for a file: seconds, and additional seconds for each million bytes.
_PATIENCE = (120.0, 30.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
  """The folders and the secret of a run, which are sent to the workers.

  Attributes:
    root: folder of the videos.
    work: folder of the caches and temporary files.
    salt: secret for hashing names (see `run.read_salt`).
  """

  root: str
  work: str
  salt: str

  def cache(self, kind: str) -> ResultCache:
    """The cache of the results of one kind: "examined", "encoded" or "thumbnails"."""
    return ResultCache(Path(self.work) / kind)

  @property
  def scratch(self) -> Path:
    """The folder of temporary files, which exists only during a run."""
    return Path(self.work) / "scratch"


def local_options(workers: int) -> list[str]:
  """The flags with which Beam runs on this machine, with `workers` processes."""
  # --allow_unsafe_triggers prevents the download of the Prism runner; the pipelines have no triggers.
  direct = ["--runner=DirectRunner", "--allow_unsafe_triggers", "--default_sdk_harness_log_level=ERROR"]
  if workers > 1:
    direct += ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
  return direct


def open_pipeline(options: list[str]) -> beam.Pipeline:
  """A pipeline with Beam's flags `options`. Raises UserError if Beam rejects them."""
  try:
    return beam.Pipeline(options=PipelineOptions(options))
  except (ValueError, ImportError, AttributeError) as error:
    raise UserError(f"Apache Beam rejects the flags {' '.join(options)!r}: {error}") from error


def examine_all(
  files: Sequence[File], research: Mapping[str, str], place: Place, settings: Settings, options: list[str]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
  """Examines all files, and finds near-duplicate clips of different videos.

  Args:
    files: the files that may be videos.
    research: path of a file -> its metadata from the Research API, as JSON.
    place: the folders of the run.
    settings: the thresholds.
    options: Beam's flags.

  Returns:
    The report of each file, sorted by id, and the sorted pairs of ids of near-duplicate clips. A report has
    the `id` and `path` of the file. If the file can be read, the report also has the entries that `examine`
    returns, and `known`, the result of `describe_video`; otherwise `reason` and `words` (see `Unreadable`).

  Raises:
    UserError: examining a file failed for a reason that does not lie in the file, for example a full disk.
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
  """Encodes clips.

  Args:
    clips: clips with `id`, `file` (a `File`), `start`, `end` and `known` (a `Described`, as JSON).
    place: the folders of the run.
    settings: the size and frame rate of the encoded clips.
    captioner: "module:function" of an `encode.Captioner`, or "" for none.
    options: Beam's flags.

  Returns:
    id of a clip -> a dictionary of its `id`, the path `file` of the encoded clip, and the entries that
    `encode.encode` returns; if encoding failed, `reason` (see `Unreadable`) instead of these entries.

  Raises:
    UserError: the captioner fails, or the disk is full.
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


class _Isolated(beam.DoFn):
  """Calls functions on untrusted files in an isolated process."""

  def __init__(self, place: Place, settings: Settings):
    self._place, self._settings, self._process = place, settings, None

  def setup(self):
    self._process = IsolatedProcess()

  def teardown(self):
    self._process.close()

  def _call(self, module, function: str, file: File, **arguments) -> dict[str, Any]:
    path, (base, per_megabyte) = os.path.join(self._place.root, file.path), _PATIENCE
    seconds = base + per_megabyte * file.size / 1e6
    return self._process.call(f"{module.__name__}:{function}", path, seconds, path=path, **arguments)


class _Examine(_Isolated):
  """Maps a file to its report (see `examine_all`), both as JSON, which preserves all bytes of file names."""

  def process(self, line: str) -> Iterator[str]:
    *file, research = json.loads(line)
    file, place = File(*file), self._place
    report = {"id": file.identity(place.salt), "path": file.path}
    cache = place.cache("examined")
    arguments = {name: vars(self._settings)[name] for name in ("least_seconds", "most_seconds", "hdr")}
    key = key_of(examine.VERSION, dataclasses.astuple(file), arguments)
    try:
      if (result := cache.get(key)) is None:
        try:
          result = self._call(examine, "examine", file, **arguments)
        except Unreadable as error:
          result = {"reason": error.reason, "words": error.args[2]}
        cache.put(key, result)
      if "reason" not in result:
        report["known"] = describe_video(place.root, file, research, place.salt)
      yield json.dumps({**report, **result})
    except (UserError, OSError) as error:
      yield json.dumps({**report, "error": str(error)})


class _Encode(_Isolated):
  """Maps a clip to the result of encoding it (see `encode_all`), both as JSON."""

  def __init__(self, place: Place, settings: Settings, captioner: str):
    super().__init__(place, settings)
    self._captioner = captioner

  def process(self, line: str) -> Iterator[str]:
    name, file, start, end, known = json.loads(line)
    file, cache = File(*file), self._place.cache("encoded")
    arguments = {
      "start": start,
      "end": end,
      "short_side": self._settings.short_side,
      "most_rate": self._settings.most_rate,
      "captioner": self._captioner,
      "known": known,
    }
    key = key_of(encode.VERSION, dataclasses.astuple(file), arguments)
    out = cache.path(key, ".mp4")
    try:
      if (result := cache.get(key)) is None or ("reason" not in result and not out.exists()):
        try:
          result = self._call(encode, "encode", file, out=str(out), **arguments)
        except Unreadable as error:
          result = {"reason": error.reason}
        cache.put(key, result)
      yield json.dumps({"id": name, "file": str(out), **result})
    except (UserError, OSError) as error:
      yield json.dumps({"id": name, "error": str(error)})


def _banded(line: str, settings: Settings) -> Iterator[tuple[bytes, tuple[str, bytes]]]:
  """For each clip of a report that is not rejected, yields (piece of its hash, (clip id, hash))."""
  report = json.loads(line)
  for number, clip in enumerate(report.get("clips", ())):
    if not fault(clip, settings):
      code = from_text(clip["hash"])
      for band in hash_pieces(code):
        yield band, (clip_id(report["id"], number), code.tobytes())


def _near(bucket: tuple[bytes, Iterable[tuple[str, bytes]]], nearest: int) -> Iterator[str]:
  """Yields the pairs "ID ID" of near-duplicate clips of different videos.

  Clips of one video are not compared: they may look alike because they show the same place and person.

  Args:
    bucket: a piece of a hash, and (clip id, hash) of the clips whose hashes contain the piece.
    nearest: greatest distance in bits, see `hashes.distances`, at which two clips are near-duplicates.
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
