"""Curation from end to end: turns a folder of videos into shards of clips.

OUTPUT/clips/1.0.0   the data set, in ArrayRecord format
OUTPUT/counts.json   numbers of files and clips by outcome, see `count.count_outcomes`
OUTPUT/work          cached results, with which an interrupted run resumes and a repeated run is fast. The
                     folder contains the paths of the files and must not be published
"""

import collections
import contextlib
import dataclasses
import fcntl
import json
import secrets
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stale_jax.data.curate.card import histograms, rights, shown
from stale_jax.data.curate.components import components
from stale_jax.data.curate.count import count_outcomes
from stale_jax.data.curate.describe import find_files, read_all_research, research_of
from stale_jax.data.curate.encode import find_captioner
from stale_jax.data.curate.encode_clips import EncodeClips
from stale_jax.data.curate.judge import REASONS, Judge
from stale_jax.data.curate.link import link
from stale_jax.data.curate.place import Lines, Place, parts_for, write_lines
from stale_jax.data.curate.result_cache import PARTIAL, key_of
from stale_jax.data.curate.scan import Scan
from stale_jax.data.curate.settings import Settings
from stale_jax.data.curate.stage import Step, local_options, open_pipeline, run_stage
from stale_jax.data.curate.write_shards import WriteShards, shards_for
from stale_jax.data.shard_files import NAME, VERSION, assemble
from stale_jax.errors import UserError
from stale_jax.files import make_folder, write_whole

# Default path of the salt file, relative to the home folder; the file is created when it is first needed.
HOME_SALT = Path(".config/stale_jax/salt")
_LEAST_SALT = 16  # Least characters of a salt; shorter ones can be guessed.
_SLICE_CLIPS = 4  # Clips that a worker encodes at a time.


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

  An interrupted run resumes when the function is called again. The data set has the same bytes, whatever the
  number of interruptions and workers and the runner.

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
  open_pipeline(list(beam) if beam else local_options(workers))  # Checks the flags before writing anything.
  make_folder(output)
  place = Place(
    root=str(source),
    work=str(output / "work"),
    salt=salt,
    parts=parts_for(len(files)),
    # Workers of an earlier run that was killed may still write into its folder.
    run=uuid.uuid4().hex,
  )
  with _locked(Path(place.work)):
    for old in Path(place.work).glob("scratch*"):
      shutil.rmtree(old, ignore_errors=True)
    for unfinished in Path(place.work).glob(f"*/*/{PARTIAL}*"):
      unfinished.unlink(missing_ok=True)
    place.scratch.mkdir(parents=True)
    run = _Run(place, settings, captioner, beam, workers)
    by_id, broken_lines = read_all_research(research_files)
    say(f"{len(files)} files")
    scanned = run.stage(
      "scan",
      Scan(place, settings),
      [json.dumps([*dataclasses.astuple(file), research_of(file, by_id)]) for file in files],
    )
    judged, hot = run.judge(scanned)
    reports = Lines([folder / "reports.jsonl" for folder in judged])
    clips = Lines([folder / "clips.jsonl" for folder in judged])
    videos, reasons = sum("reason" not in r for r in reports), collections.Counter(c["reason"] for c in clips)
    say(f"{videos} videos, {reasons.total()} clips, {reasons['']} to keep")
    encoded = run.encode(judged)
    clips = Lines([folder / "clips.jsonl" for folder in encoded])
    counts = count_outcomes(reports, clips, broken_lines, scanned, settings.most_likeness)
    counts["hot_bands"] = hot
    run.write(output / "clips", encoded)
    say(f"{counts['kept']} clips written")
    _write_lines(Path(place.work) / "files.jsonl", reports, ("id", "path", "reason", "words", "cuts"))
    fields = ("id", "path", "start", "end", "motion", "light", "text", "reason", "cluster", "group", "split")
    _write_lines(Path(place.work) / "clips.jsonl", ({**c, "path": c["file"][0]} for c in clips), fields)
    write_whole(output / "counts.json", json.dumps(counts) + "\n")
    said = {
      "counts": counts,
      "histograms": histograms(clips, settings),
      "shown": shown(clips, place),
      "rights": rights(clips),
      "reasons": REASONS,
      "settings": {**dataclasses.asdict(settings), "captioner": captioner or "none: captions from metadata"},
    }
    shutil.rmtree(place.scratch)
  return said


class _Run:
  """The stages of a run.

  Args:
    place: the folders.
    settings: the thresholds.
    captioner: "module:function" of an `encode.Captioner`, or "".
    beam: flags of Apache Beam; None for this machine.
    workers: number of processes on this machine.
  """

  def __init__(
    self, place: Place, settings: Settings, captioner: str, beam: Sequence[str] | None, workers: int
  ):
    self._place, self._settings, self._captioner = place, settings, captioner
    self._beam, self._workers = beam, workers

  def stage(self, name: str, step: Step, lines: Sequence[str]) -> list[Path]:
    """Runs one stage, see `run_stage`."""
    return run_stage(step, lines, self._place.scratch / name, self._options(len(lines)))

  def _options(self, inputs: int) -> list[str]:
    return list(self._beam) if self._beam else local_options(min(self._workers, inputs))

  def judge(self, scanned: Sequence[Path]) -> tuple[list[Path], int]:
    """Links near-duplicates and judges all clips.

    Returns:
      The folders of the judged parts, and the number of bands in which not all pairs were compared.
    """
    scratch, options = self._place.scratch, self._options(len(scanned))
    links, hot = link(scanned, scratch / "link", options, self._settings.most_likeness)
    firsts = components([*scanned, *links], scratch / "components", self._place.parts, options)
    step = Judge(self._place, self._settings, _SLICE_CLIPS)
    return self.stage("judge", step, list(map(str, [*scanned, *firsts]))), hot

  def encode(self, judged: Sequence[Path]) -> list[Path]:
    """Encodes the clips that are kept; see `encode_clips`."""
    lines = []
    for folder in judged:
      for begin, end in json.loads((folder / "slices.json").read_text()):
        lines.append(json.dumps([int(folder.name), str(folder / "clips.jsonl"), begin, end]))
    return self.stage("encode", EncodeClips(self._place, self._settings, self._captioner), lines)

  def write(self, final: Path, encoded: Sequence[Path]) -> None:
    """Writes the data set and replaces the previous one, unless the previous one is up to date."""
    sizes = [json.loads((folder / "size.json").read_text()) for folder in encoded]
    marker, key = Path(self._place.work) / "written.json", key_of(sizes)
    total = {split: sum(size["bytes"].get(split, 0) for size in sizes) for split in ("train", "test")}
    with contextlib.suppress(OSError, ValueError):
      if json.loads(marker.read_text()) == key and final.exists() == any(total.values()):
        return
    step = WriteShards(shards_for(total))
    folders = self.stage("shards", step, list(map(str, encoded)))
    new = self._place.scratch / "new" / NAME
    if folders:
      assemble(new / VERSION, {name: shards for name, shards in step.splits(folders).items() if shards})
    marker.unlink(missing_ok=True)
    if final.exists():
      final.rename(self._place.scratch / "old")
    if folders:
      new.rename(final)
    write_whole(marker, json.dumps(key) + "\n")


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


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> None:
  """Writes each row as one line of JSON, with those of its fields that `fields` lists."""
  partial = path.with_name(PARTIAL + path.name)
  write_lines(partial, ({field: row[field] for field in fields if field in row} for row in rows))
  partial.replace(path)


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
