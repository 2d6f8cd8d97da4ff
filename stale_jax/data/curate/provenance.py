"""Provenance of videos: where they come from, and what they may be used for, as far as it is recorded.

A file `rights.json` applies to all videos in its folder and subfolders. Its fields, for example
{"license": "CC-BY-4.0", "consent_basis": "uploaders opted in", "collected_at": "2026-05-01",
"platform": "...", "nsfw_score": 0.0, "ai_generated_flag": false}, are optional. They override the fields of
a rights.json in a parent folder. The license and the date of download in the info.json that yt-dlp writes for
a video override `license` and `collected_at`.
"""

import datetime
import functools
import json
import os
from pathlib import Path
from typing import Any

from stale_jax.data.storage import beside, read_text
from stale_jax.errors import UserError

RIGHTS = "rights.json"
# Field -> (type, value for "unknown").
FIELDS = {
  "license": (str, ""),
  "consent_basis": (str, ""),
  "collected_at": (str, ""),
  "platform": (str, ""),
  "nsfw_score": ((int, float), None),
  "ai_generated_flag": (bool, None),
}


def provenance(video: str | Path, root: str | Path) -> dict[str, Any]:
  """The provenance of a video below the folder `root`: a dictionary with the keys of FIELDS.

  Raises:
    UserError: a rights.json cannot be parsed. (An .info.json that cannot be parsed is ignored.)
  """
  video = Path(video)
  rights = _rights(os.fspath(video.parent), os.fspath(root))
  return {**{name: unknown for name, (_, unknown) in FIELDS.items()}, **rights, **_info(video)}


@functools.lru_cache(maxsize=1024)
def _rights(folder: str, root: str) -> dict[str, Any]:
  above = {} if folder == root else _rights(os.path.dirname(folder), root)
  if (text := read_text(os.path.join(folder, RIGHTS))) is None:
    return above
  try:
    here = json.loads(text)
  except ValueError as error:
    raise UserError(f"{Path(folder) / RIGHTS} is not JSON: {error}") from error
  if not isinstance(here, dict):
    raise UserError(f"{Path(folder) / RIGHTS}: expected a JSON object, not {type(here).__name__}.")
  for name, value in here.items():
    if name not in FIELDS:
      raise UserError(f"{Path(folder) / RIGHTS}: unknown field {name!r}; valid: {', '.join(FIELDS)}.")
    if not isinstance(value, FIELDS[name][0]):
      kinds = FIELDS[name][0] if isinstance(FIELDS[name][0], tuple) else FIELDS[name][:1]
      expected = " or ".join(kind.__name__ for kind in kinds)
      raise UserError(f"{Path(folder) / RIGHTS}: {name} is {value!r}; expected {expected}.")
  return {**above, **here}


def _info(video: Path) -> dict[str, Any]:
  try:
    info = json.loads(read_text(beside(os.fspath(video), ".info.json")) or "{}")
    license, fetched = info.get("license"), info.get("epoch")
  except (UserError, ValueError, AttributeError, RecursionError):
    return {}
  fields = {"license": license} if isinstance(license, str) and license else {}
  if isinstance(fetched, (int, float)) and 0 < fetched < 1e11:
    day = datetime.datetime.fromtimestamp(fetched, datetime.UTC).date()
    fields["collected_at"] = day.isoformat()
  return fields
