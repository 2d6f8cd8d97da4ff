"""The record of a run's data in its folder, by which a resumed run finds out whether they have changed."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping

from stale_jax.data.source import Source
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, write_whole
from stale_jax.hosts import leads, spread

_NAME = "data.json.gz"
_NAMED = 3  # Number of files of each kind that a message names.


def keep_manifest(source: Source, workdir: AnyPath, new_data: bool, say: Callable[[str], None]) -> None:
  """Writes `Source.manifest` to data.json.gz in `workdir`, where it is compared when the run resumes.

  All processes of a run must call this. A source that depends on settings alone has no manifest.

  Args:
    source: the source of the training examples; it is prepared.
    workdir: the run's folder.
    new_data: whether the data may differ from those with which the run began; see `TrainingSettings`.
    say: prints a line for the user.

  Raises:
    UserError: the data have changed and `new_data` is false.
  """
  path, now = workdir / _NAME, source.manifest(spread)
  before = _read(path) if path.exists() else None
  if now == before or not (now or before):
    return
  if before is not None:
    changes = f"the data of the run in {workdir} have changed since it began: {describe_changes(before, now)}"
    if not new_data:
      raise UserError(
        f"{changes}. Restore them, choose another --workdir, or go on with --config.training.new_data=True."
      )
    say(f"{changes}. The run goes on with the new data (training.new_data=True).")
  if leads():
    write_whole(path, gzip.compress(json.dumps(now).encode(), mtime=0))


def describe_changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
  """What differs between two manifests, for example "2 files added (a.mp4, b.mp4), 1 changed (c.mp4)"."""
  kinds = {
    "added": sorted(now.keys() - before.keys()),
    "removed": sorted(before.keys() - now.keys()),
    "changed": sorted(name for name in now.keys() & before.keys() if now[name] != before[name]),
  }
  return ", ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names)


def _some(names: list[str]) -> str:
  return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _read(path: AnyPath) -> dict[str, str]:
  try:
    return json.loads(gzip.decompress(path.read_bytes()))
  except (OSError, EOFError, ValueError, zlib.error) as error:
    raise UserError(
      f"{path}, the record of the run's data, cannot be read: {error}. Delete it to go on without the check."
    ) from error
