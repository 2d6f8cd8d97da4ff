"""What is known about a video, without names: what lies beside it, joined."""

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
from stale_jax.data.metadata import Described, anonymous, from_json, read_described, read_research, to_json
from stale_jax.errors import UserError

# What lies beside videos, and is none.
_BESIDE = (".txt", ".json", ".jsonl", ".npz", ".sem.xml", ".hjif")
_IDENTITY = re.compile(r"\d{6,}")
_NAMES = ("uploader", "uploader_id", "channel", "channel_id", "creator")
_SHORTEST = 4  # Letters of a name that is taken out of a caption; shorter ones are words.


@dataclasses.dataclass(frozen=True)
class File:
  """A file that is looked at: its path below the root, and what tells that it has changed."""

  path: str
  size: int
  changed: int

  def identity(self, salt: str) -> str:
    """Its name in shards and on the card, from which its path cannot be guessed."""
    return hmac.new(salt.encode(), os.fsencode(self.path), hashlib.sha256).hexdigest()[:16]


def find_files(root: Path, output: Path) -> tuple[list[File], list[Path]]:
  """The files below `root` that may be videos, in order, and the Research API's files; not those in `output`.

  Raises:
    UserError: there is no such folder, or nothing in it.
  """
  if not root.is_dir():
    raise UserError(f"{root} is no folder.")
  videos, research = [], []
  for folder, folders, names in os.walk(root):
    folders[:] = sorted(f for f in folders if not f.startswith(".") and Path(folder, f) != output)
    for name in names:
      path = Path(folder, name)
      if name.startswith(".") or not path.is_file():
        continue
      if name.endswith(".jsonl"):
        research.append(path)
      if not name.endswith(_BESIDE):
        stat = path.stat()
        videos.append(File(os.path.relpath(path, root), stat.st_size, stat.st_mtime_ns))
  if not videos:
    raise UserError(f"there are no videos in {root}.")
  return sorted(videos, key=lambda file: os.fsencode(file.path)), sorted(research)


def read_all_research(paths: Sequence[Path]) -> tuple[dict[str, str], int]:
  """The Research API's videos by their id, as JSON, and how many lines were not understood."""
  found, broken = {}, 0
  for path in paths:
    try:
      videos, left_out = read_research(path)
    except UserError:
      broken += 1
      continue
    broken += len(left_out)
    found.update((video.source_id, to_json(video)) for video in videos)
  return found, broken


def research_of(file: File, research: Mapping[str, str]) -> str:
  """What the Research API says of a file, whose name holds the video's id; "" if nothing."""
  return next((research[i] for i in _IDENTITY.findall(Path(file.path).name) if i in research), "")


def describe_video(root: str, file: File, research: str, salt: str) -> dict[str, Any]:
  """What a shard says of a video: the fields of Described and of provenance, without names.

  Of several, .txt gives the caption, .info.json the rest, else the Research API. What cannot be understood is
  taken as not there, and counted: `broken`.

  Raises:
    UserError: a file of rights that cannot be understood.
  """
  path, broken = Path(root, file.path), False
  try:
    known = read_described(path)
  except UserError:
    known, broken = Described(), True
  if research and not known.platform:
    other = from_json(research)
    tags = tuple(dict.fromkeys((*known.hashtags, *other.hashtags)))
    known = dataclasses.replace(other, caption=known.caption or other.caption, hashtags=tags)
  names = {known.uploader, *_names(path)}
  shown = _without(anonymous(known, salt), {name for name in names if len(name) >= _SHORTEST})
  rights = provenance(path, root)
  if not known.platform:  # What stands for its id is the file's name, in which names are found.
    shown = dataclasses.replace(shown, source_id=file.identity(salt))
  shown = dataclasses.replace(shown, platform=shown.platform or rights.pop("platform"))
  return {**rights, **json.loads(to_json(shown)), "broken": broken, "source": _source(known)}


def _source(known: Described) -> str:
  """Two files of one are the same video."""
  return f"{known.platform}:{known.source_id}" if known.platform and known.source_id else ""


def _names(path: Path) -> set[str]:
  try:
    info = json.loads(path.with_suffix(".info.json").read_text(encoding="utf-8-sig"))
    return {info[key] for key in _NAMES if isinstance(info.get(key), str)}
  except (OSError, ValueError, AttributeError, RecursionError):
    return set()


def _without(known: Described, names: set[str]) -> Described:
  """The same with those words taken out of what is written freely."""
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
