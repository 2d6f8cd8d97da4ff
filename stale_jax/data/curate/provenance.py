"""Where a video comes from and what may be done with it: as far as somebody wrote it down.

A file `rights.json` in a folder holds for all that is in it and below, the nearest one first:
{"license": "CC-BY-4.0", "consent_basis": "uploaders opted in", "collected_at": "2026-05-01",
"platform": "...", "nsfw_score": 0.0, "ai_generated_flag": false}; any of them may be missing. What yt-dlp
says of one video (its license, when it was fetched) comes before that.
"""

import datetime
import functools
import json
import os
from pathlib import Path
from typing import Any

from stale_jax.errors import UserError

RIGHTS = "rights.json"
# Field -> what type it is of, and what stands for not known.
FIELDS = {
  "license": (str, ""),
  "consent_basis": (str, ""),
  "collected_at": (str, ""),
  "platform": (str, ""),
  "nsfw_score": ((int, float), None),
  "ai_generated_flag": (bool, None),
}


def provenance(video: str | Path, root: str | Path) -> dict[str, Any]:
  """FIELDS of a video below the folder `root`.

  Raises:
    UserError: a file of rights that cannot be understood. (Of a broken .info.json nothing is taken.)
  """
  video = Path(video)
  found = _rights(os.fspath(video.parent), os.fspath(root))
  return {**{name: unknown for name, (_, unknown) in FIELDS.items()}, **found, **_info(video)}


@functools.lru_cache(maxsize=1024)
def _rights(folder: str, root: str) -> dict[str, Any]:
  above = {} if folder == root else _rights(os.path.dirname(folder), root)
  try:
    text = (Path(folder) / RIGHTS).read_text(encoding="utf-8-sig")
  except FileNotFoundError:
    return above
  except (OSError, ValueError) as error:
    raise UserError(f"{Path(folder) / RIGHTS} cannot be read: {error}") from error
  try:
    here = json.loads(text)
  except ValueError as error:
    raise UserError(f"{Path(folder) / RIGHTS} is not JSON: {error}") from error
  if not isinstance(here, dict):
    raise UserError(f"{Path(folder) / RIGHTS}: an object is expected.")
  for name, value in here.items():
    if name not in FIELDS:
      raise UserError(f"{Path(folder) / RIGHTS}: unknown field {name!r}; valid: {', '.join(FIELDS)}.")
    if not isinstance(value, FIELDS[name][0]):
      raise UserError(f"{Path(folder) / RIGHTS}: {name} is {value!r}.")
  return {**above, **here}


def _info(video: Path) -> dict[str, Any]:
  try:
    info = json.loads(video.with_suffix(".info.json").read_text(encoding="utf-8-sig"))
    license, fetched = info.get("license"), info.get("epoch")
  except (OSError, ValueError, AttributeError, RecursionError):
    return {}
  found = {"license": license} if isinstance(license, str) and license else {}
  if isinstance(fetched, (int, float)) and 0 < fetched < 1e11:
    day = datetime.datetime.fromtimestamp(fetched, datetime.UTC).date()
    found["collected_at"] = day.isoformat()
  return found
