"""Curation from end to end: turns a folder of videos into shards of clips.

OUTPUT/clips/1.0.0   the data set, in ArrayRecord format
OUTPUT/counts.json   numbers of files and clips by outcome, see `count.count_outcomes`
OUTPUT/work          cached results, with which an interrupted run resumes and a repeated run is fast. The
                     folder contains the paths of the files and must not be published
"""

import contextlib
import dataclasses
import fcntl
import io
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stale_jax.data.curate.card import histograms, rights, shown
from stale_jax.data.curate.count import count_outcomes
from stale_jax.data.curate.describe import File, find_files, read_all_research, research_of
from stale_jax.data.curate.encode import find_captioner
from stale_jax.data.curate.judge import REASONS, judge
from stale_jax.data.curate.pipeline import Place, encode_all, examine_all, local_options, open_pipeline
from stale_jax.data.curate.result_cache import PARTIAL, key_of
from stale_jax.data.curate.settings import Settings
from stale_jax.data.metadata import from_json, to_json
from stale_jax.data.sources.shards import record, write_shards
from stale_jax.errors import UserError
from stale_jax.files import make_folder, write_whole

# Default path of the salt file, relative to the home folder; the file is created when it is first needed.
HOME_SALT = Path(".config/stale_jax/salt")
_LEAST_SALT = 16  # Least characters of a salt; shorter ones can be guessed.


def curate(
  source: str | Path,
  output: str | Path,
  *,
  settings: Settings,
  salt: str,
  captioner: str = "",
  workers: int = 1,
  beam: Sequence[str] | None = None,
  say: Callable[[str], None] = print,
) -> dict[str, Any]:
  """Curates the videos of the folder `source` into `output`.

  An interrupted run resumes when the function is called again. Clips and metadata have the same bytes,
  whatever the number of interruptions and workers. Only the order of the two fields inside a record may
  differ between processes: the serializer of TensorFlow Datasets does not fix it.

  Args:
    source: folder of the videos and their metadata.
    output: folder of the result; it must not contain `source`.
    settings: the thresholds.
    salt: secret for hashing names, see `read_salt`.
    captioner: "module:function" of an `encode.Captioner`; "" takes captions from the metadata.
    workers: number of processes on this machine.
    beam: flags of Apache Beam, to run on other machines; all workers must have access to both folders.
    say: is called with progress messages.

  Returns:
    The content of the data card: `counts` (see `count_outcomes`); `histograms`, `shown` and `rights` (see the
    functions of these names); `reasons` (see REASONS); and `settings`.

  Raises:
    UserError: there is nothing to curate, the disk is full, another run uses `output`, or the captioner does
      not exist or fails.
  """
  source, output = Path(source).resolve(), Path(output).resolve()
  if output == source or output in source.parents:
    raise UserError(f"the output folder {output} contains the videos; choose another folder.")
  files, research_files = find_files(source, output)
  if captioner:
    find_captioner(captioner)
  options = list(beam) if beam else local_options(workers)
  open_pipeline(options)  # Checks the flags before anything is written.
  make_folder(output)
  place = Place(root=str(source), work=str(output / "work"), salt=salt)
  with _locked(Path(place.work)):
    shutil.rmtree(place.scratch, ignore_errors=True)
    for unfinished in Path(place.work).glob(f"*/*/{PARTIAL}*"):
      unfinished.unlink(missing_ok=True)
    place.scratch.mkdir(parents=True)
    by_id, broken_lines = read_all_research(research_files)
    research = {file.path: research_of(file, by_id) for file in files}
    say(f"{len(files)} files")
    reports, links = examine_all(files, research, place, settings, options)
    videos = [
      {
        **report,
        "person": report["known"]["uploader"],
        "accounts": report["known"]["accounts"],
        "source": report["known"]["source"],
      }
      for report in reports
      if "reason" not in report
    ]
    clips = judge(videos, links, settings)
    kept = [clip for clip in clips if not clip["reason"]]
    say(f"{len(videos)} videos, {len(clips)} clips, {len(kept)} to keep")
    file_of = {file.identity(salt): file for file in files}
    known = {video["id"]: video["known"] for video in videos}
    requests = [_request(clip, file_of[clip["video"]], known[clip["video"]], captioner) for clip in kept]
    encoded = encode_all(requests, place, settings, captioner, options) if requests else {}
    for clip in kept:
      clip["encoded"] = encoded[clip["id"]]
      clip["reason"] = "unencodable" if "reason" in clip["encoded"] else ""
      clip["metadata"] = _metadata(clip, known[clip["video"]])
    kept = [clip for clip in kept if not clip["reason"]]
    counts = count_outcomes(reports, clips, broken_lines, settings.nearest)
    _write(output, place, kept)
    say(f"{len(kept)} clips written")
    _write_lines(Path(place.work) / "files.jsonl", reports, ("id", "path", "reason", "words", "cuts"))
    paths = {report["id"]: report["path"] for report in reports}
    fields = ("id", "path", "start", "end", "motion", "light", "text", "reason", "cluster", "group", "split")
    _write_lines(Path(place.work) / "clips.jsonl", [{**c, "path": paths[c["video"]]} for c in clips], fields)
    write_whole(output / "counts.json", json.dumps(counts) + "\n")
    samples = shown(clips, file_of, place)
    shutil.rmtree(place.scratch)
  return {
    "counts": counts,
    "histograms": histograms(clips, settings),
    "shown": samples,
    "rights": rights(kept),
    "reasons": REASONS,
    "settings": {**dataclasses.asdict(settings), "captioner": captioner or "none: captions from metadata"},
  }


def read_salt(path: str | Path | None) -> str:
  """Reads the secret with which names are hashed.

  Without a secret, hashes could be reversed by hashing all existing names. To curate one data set on several
  machines, use the same file on each.

  Args:
    path: the file; None for ~/.config/stale_jax/salt, which is created if it does not exist.

  Raises:
    UserError: the file cannot be read, or the salt is shorter than 16 characters.
  """
  try:
    if path is None:
      path = Path.home() / HOME_SALT
      if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, secrets.token_hex(32) + "\n")
        path.chmod(0o600)
    salt = Path(path).read_text(encoding="utf-8").strip()
  except (OSError, ValueError) as error:
    raise UserError(f"the salt file {path} cannot be read: {error}. Choose another file.") from error
  if len(salt) < _LEAST_SALT:
    raise UserError(f"the salt in {path} has {len(salt)} characters; at least {_LEAST_SALT} are needed.")
  return salt


def _request(clip: Mapping[str, Any], file: File, known: Mapping[str, Any], captioner: str) -> dict[str, Any]:
  """The description of a clip that `encode_all` expects."""
  described = to_json(from_json(json.dumps(known))) if captioner else ""
  return {
    "id": clip["id"],
    "file": file,
    "start": clip["start"],
    "end": clip["end"],
    "known": described,
  }


def _metadata(clip: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
  """The metadata of a clip that are stored in its shard."""
  encoded = {name: value for name, value in clip["encoded"].items() if name not in ("id", "file")}
  return {
    **{name: value for name, value in known.items() if name not in ("broken", "source")},
    "id": clip["id"],
    "video": clip["video"],
    "group": clip["group"],
    "clip_start": clip["start"],
    "clip_end": clip["end"],
    "dedup_cluster": clip["cluster"],
    **{name: clip[name] for name in ("motion", "light", "text")},
    "sense_label_source": "",
    **encoded,
  }


def _write(output: Path, place: Place, kept: Sequence[Mapping[str, Any]]) -> None:
  """Writes the data set and replaces the previous one, unless the previous one is up to date."""
  final, new, marker = output / "clips", place.scratch / "new", Path(place.work) / "written.json"
  key = key_of([(clip["split"], clip["metadata"], Path(clip["encoded"]["file"]).name) for clip in kept])
  with contextlib.suppress(OSError, ValueError):
    if json.loads(marker.read_text()) == key and (final.exists() or not kept):
      return
  splits = {split: [clip for clip in kept if clip["split"] == split] for split in ("train", "test")}
  if kept:
    # TensorFlow Datasets prints messages about downloads, although nothing is downloaded.
    with contextlib.redirect_stdout(io.StringIO()):
      write_shards(new, {split: _records(clips) for split, clips in splits.items() if clips})
  marker.unlink(missing_ok=True)
  if final.exists():
    final.rename(place.scratch / "old")
  if kept:
    (new / "clips").rename(final)
  write_whole(marker, json.dumps(key) + "\n")


def _records(clips: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, bytes]]]:
  for clip in clips:
    yield clip["id"], record(Path(clip["encoded"]["file"]).read_bytes(), clip["metadata"])


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> None:
  """Writes each row as one line of JSON, with those of its fields that `fields` lists."""
  lines = [json.dumps({field: row[field] for field in fields if field in row}) for row in rows]
  write_whole(path, "".join(line + "\n" for line in lines))


@contextlib.contextmanager
def _locked(work: Path) -> Iterator[None]:
  """Holds the lock of the folder `work`. Raises UserError if another run holds it."""
  make_folder(work)
  with open(work / "lock", "w") as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise UserError(f"another run writes to {work.parent}; wait for it or stop it.") from error
    yield
