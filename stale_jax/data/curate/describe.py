"""Collects the metadata of a video from all files beside it, and removes names."""

import dataclasses
import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stale_jax.data.curate.provenance import provenance
from stale_jax.data.metadata import (
  ACCOUNT_KEYS,
  Described,
  anonymous,
  from_json,
  read_described,
  read_research,
  to_json,
)
from stale_jax.data.print_once import print_left_out
from stale_jax.data.storage import beside, local_files, read_text
from stale_jax.errors import UserError

# Endings of files that accompany videos.
_BESIDE = (".txt", ".json", ".jsonl", ".npz", ".sem.xml", ".hjif")
_IDENTITY = re.compile(r"\d{6,}")
_SHORTEST = 4  # Least letters of a name that is removed from captions: shorter names are often words.


@dataclasses.dataclass(frozen=True)
class File:
  """An input file, with the size and time that identify its content in the result caches.

  Attributes:
    path: path relative to the root folder.
    size: in bytes.
    changed: time of last modification, in nanoseconds.
  """

  path: str
  size: int
  changed: int

  def identity(self, salt: str) -> str:
    """The id of the video in shards: 16 hex digits of a keyed hash, from which the path cannot be guessed."""
    return hmac.new(salt.encode(), os.fsencode(self.path), hashlib.sha256).hexdigest()[:16]


def find_files(root: Path, output: Path) -> tuple[list[File], list[Path]]:
  """Finds the files below `root`, except those in `output`. Links to files and folders are followed.

  Returns:
    The files that may be videos, and the .jsonl files of TikTok's Research API, both sorted by path.

  Raises:
    UserError: `root` is not a folder, or contains no file that may be a video.
  """
  if not root.is_dir():
    raise UserError(f"{root} is not a folder.")
  videos, research = [], []
  for path in map(Path, local_files(str(root), without=str(output))):
    if not path.is_file():
      continue
    if path.name.endswith(".jsonl"):
      research.append(path)
    if not path.name.endswith(_BESIDE):
      stat = path.stat()
      videos.append(File(os.path.relpath(path, root), stat.st_size, stat.st_mtime_ns))
  if not videos:
    raise UserError(f"there are no videos in {root}.")
  return sorted(videos, key=lambda file: os.fsencode(file.path)), sorted(research)


def read_all_research(paths: Sequence[Path]) -> tuple[dict[str, str], int]:
  """Reads the .jsonl files of TikTok's Research API.

  Returns:
    A dictionary, id of a video -> its metadata (`Described`) as JSON; and the number of lines (or whole
    files) that cannot be parsed.
  """
  by_id, broken = {}, 0
  for path in paths:
    try:
      videos, skipped = read_research(path)
    except UserError:
      broken += 1
      continue
    broken += len(skipped)
    by_id.update((video.source_id, to_json(video)) for video in videos)
  return by_id, broken


def research_of(file: File, research: Mapping[str, str]) -> str:
  """The Research API's metadata of the video whose id is in the name of `file`.

  Args:
    file: the video.
    research: id of a video -> its metadata as JSON.

  Returns:
    The metadata as JSON; "" if there are none.
  """
  return next((research[i] for i in _IDENTITY.findall(Path(file.path).name) if i in research), "")


def describe_video(root: str, file: File, research: str, salt: str) -> dict[str, Any]:
  """The metadata of a video for its shard: the fields of `Described` and of `provenance`, without user names.

  The caption comes from NAME.txt. The other fields, and the caption if there is no NAME.txt, come from
  NAME.info.json or, if this does not state the platform, from the Research API. A file that cannot be read or
  parsed is named on stderr and left out.

  Args:
    root: the root folder.
    file: the video.
    research: the Research API's metadata as JSON, or "".
    salt: secret for hashing names.

  Returns:
    The fields; `broken`, whether a metadata file could not be read or parsed; and `source`, which is
    "PLATFORM:ID", or "" if platform or id is unknown.

  Raises:
    UserError: a rights.json cannot be parsed.
  """
  path = Path(root, file.path)
  known, faults = read_described(path)
  for name, reason in faults.items():
    print_left_out(name, reason)
  if research and not known.platform:
    other = from_json(research)
    tags = tuple(dict.fromkeys((*known.hashtags, *other.hashtags)))
    accounts = tuple(dict.fromkeys((*other.accounts, *known.accounts)))
    known = dataclasses.replace(
      other, caption=known.caption or other.caption, hashtags=tags, accounts=accounts
    )
  names = {known.uploader, *known.accounts, *_names(path)}
  public = _without(anonymous(known, salt), {name for name in names if len(name) >= _SHORTEST})
  rights = provenance(path, root)
  if not known.platform:  # Then the source_id is the name of the file, which may contain names of people.
    public = dataclasses.replace(public, source_id=file.identity(salt))
  public = dataclasses.replace(public, platform=public.platform or rights.pop("platform"))
  return {**rights, **json.loads(to_json(public)), "broken": bool(faults), "source": _source(known)}


def _source(known: Described) -> str:
  """An identifier of the published video, the same for all files of this video; "" if unknown."""
  return f"{known.platform}:{known.source_id}" if known.platform and known.source_id else ""


def _names(path: Path) -> set[str]:
  """The names of the uploader in the info.json of a video, even if it has other fields of wrong types."""
  try:
    info = json.loads(read_text(beside(str(path), ".info.json")) or "{}")
    return {info[key] for key in ACCOUNT_KEYS if isinstance(info.get(key), str)}
  except (UserError, ValueError, AttributeError, RecursionError):
    return set()


def _without(known: Described, names: set[str]) -> Described:
  """Replaces `names` by "@" in the fields with free text, and removes hashtags that are names."""
  if not names:
    return known
  pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
  words = re.compile(rf"(?<!\w)@?(?:{pattern})(?!\w)", re.IGNORECASE)
  return dataclasses.replace(
    known,
    caption=words.sub("@", known.caption),
    sound=words.sub("@", known.sound),
    url=words.sub("@", known.url),
    hashtags=tuple(tag for tag in known.hashtags if not words.fullmatch(tag)),
  )
