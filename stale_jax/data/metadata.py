"""What is known about a video beside its pictures: caption, hashtags, counts, sound, where it comes from.

Read from a caption in a .txt file, from the .info.json that yt-dlp writes beside a video, and from JSON
lines of TikTok's Research API, which describe videos but hold none.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stale_jax.errors import UserError

COUNTS = ("views", "likes", "comments", "shares", "saves")
BUCKETS = 10  # Of a count: none, below ten, below a hundred, ...; from a hundred million on.
# Our name -> yt-dlp's, the Research API's.
_NAMED = {
  "views": ("view_count", "view_count"),
  "likes": ("like_count", "like_count"),
  "comments": ("comment_count", "comment_count"),
  "shares": ("repost_count", "share_count"),
  "saves": ("save_count", "favourites_count"),
}
_HASHTAG = re.compile(r"#(\w+)")
_MENTION = re.compile(r"@[\w.]*\w")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described:
  """What is known about one video; what is not known is empty, or absent from `counts`.

  Attributes:
    caption: what it shows or says of itself.
    hashtags: without their sign, in small letters, in order, each once.
    counts: of COUNTS, those that are known.
    sound: its track and artist.
    source_id: of the video, unique on its platform.
    platform: tiktok, youtube, ...
    uploader: who published it.
    url: where.
    seconds: how long it is said to be; 0: not known.
    created: seconds since 1970; 0: not known.
  """

  caption: str = ""
  hashtags: tuple[str, ...] = ()
  counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
  sound: str = ""
  source_id: str = ""
  platform: str = ""
  uploader: str = ""
  url: str = ""
  seconds: float = 0.0
  created: int = 0


def read_described(video: str | Path) -> Described:
  """What lies beside the file `video`: NAME.info.json, and the caption in NAME.txt, which comes first.

  With neither, nothing but its name is known, which is its source_id then.

  Raises:
    UserError: one of them is there and cannot be understood.
  """
  video = Path(video)
  info, text = video.with_suffix(".info.json"), video.with_suffix(".txt")
  described = Described(source_id=video.stem)
  if info.exists():
    described = from_info(_object(_read(info), str(info)), str(info))
    described = dataclasses.replace(described, source_id=described.source_id or video.stem)
  if text.exists():
    caption = _clean(_read(text))
    hashtags = _hashtags([*described.hashtags, *_HASHTAG.findall(caption)])
    described = dataclasses.replace(described, caption=caption, hashtags=hashtags)
  return described


def from_info(info: Mapping[str, Any], where: str = "info.json") -> Described:
  """What yt-dlp says of a video. TikTok's titles are cut off: the caption is the description.

  Raises:
    UserError: a field that is there is of another type; it and `where` are named.
  """
  get = _Fields(info, where)
  description = get.text("description") or get.text("title")
  artist = get.text("artist") or ", ".join(get.texts("artists")) or get.text("creator")
  return Described(
    caption=_clean(description),
    hashtags=_hashtags([*_HASHTAG.findall(description), *get.texts("tags")]),
    counts=get.counts([names[0] for names in _NAMED.values()]),
    sound=_sound(get.text("track"), artist),
    source_id=get.text("id"),
    platform=(get.text("extractor_key") or get.text("extractor")).lower(),
    uploader=get.text("uploader_id") or get.text("uploader"),
    url=get.text("webpage_url"),
    seconds=get.number("duration"),
    created=int(get.number("timestamp")),
  )


def from_research(video: Mapping[str, Any], where: str = "Research API") -> Described:
  """What TikTok's Research API says of a video. Raises UserError like `from_info`."""
  get = _Fields(video, where)
  description, name, number = get.text("video_description"), get.text("username"), get.text("id")
  return Described(
    caption=_clean(description),
    hashtags=_hashtags([*get.texts("hashtag_names"), *_HASHTAG.findall(description)]),
    counts=get.counts([names[1] for names in _NAMED.values()]),
    sound=get.text("music_id"),
    source_id=number,
    platform="tiktok",
    uploader=name,
    url=f"https://www.tiktok.com/@{name}/video/{number}" if number else "",
    seconds=get.number("video_duration"),
    created=int(get.number("create_time")),
  )


def read_research(path: str | Path) -> tuple[list[Described], list[str]]:
  """Videos in a file of JSON lines, and why lines were left out: downloads are cut off, and lines broken.

  A line is a video's object, or a whole answer of the API with its `data.sources.videos`.

  Raises:
    UserError: the file cannot be read, or no line describes a video.
  """
  path, videos, left_out = Path(path), [], []
  for number, line in enumerate(_read(path).splitlines(), 1):
    if not line.strip():
      continue
    where = f"{path}, line {number}"
    try:
      answer = _object(line, where)
      data = answer.get("data")
      for video in data.get("videos", ()) if isinstance(data, dict) else [answer]:
        described = from_research(video, where)
        if not described.source_id:
          raise UserError(f"{where}: there is no id.")
        videos.append(described)
    except UserError as error:
      left_out.append(str(error))
  if not videos:
    raise UserError(f"{path} describes no video: {left_out[0] if left_out else 'it is empty'}")
  return videos, left_out


def bucket(count: int) -> int:
  """Which of BUCKETS `count` is in: 0 is none, else its number of digits."""
  return min(len(str(count)), BUCKETS - 1) if count > 0 else 0


def share_of(key: str) -> float:
  """A number in [0, 1) that depends on `key` alone: splits are cut by it, and stay when videos come."""
  return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


def is_held_out(described: Described, share: float) -> bool:
  """Whether it is for testing, being among that share of uploaders (of videos, where none is known)."""
  return share_of(described.uploader or described.source_id) < share


def anonymous(described: Described, salt: str) -> Described:
  """The same without names: the uploader is a salted hash, and nobody is mentioned."""
  name = described.uploader
  sound = described.sound
  # The sound that a user recorded bears the user's name.
  if sound.lower().startswith("original sound") or (name and name.lower() in sound.lower()):
    sound = "original sound"
  return dataclasses.replace(
    described,
    caption=without_mentions(described.caption),
    sound=sound,
    uploader=hashlib.sha256(f"{salt}\0{name}".encode()).hexdigest()[:32] if name else "",
    url=without_mentions(described.url),
  )


def without_mentions(text: str) -> str:
  """The same, but of every @name only the sign."""
  return _MENTION.sub("@", text)


def to_json(described: Described) -> str:
  """One line that `from_json` understands."""
  return json.dumps(dataclasses.asdict(described), ensure_ascii=False, sort_keys=True)


def from_json(line: str | bytes, where: str = "metadata") -> Described:
  """What `to_json` was given; keys that `Described` lacks are left aside. Raises UserError."""
  values = _object(line.decode(errors="replace") if isinstance(line, bytes) else line, where)
  get = _Fields(values, where)
  return Described(
    hashtags=tuple(get.texts("hashtags")),
    counts=_Fields(get.object("counts"), where).counts(COUNTS),
    seconds=get.number("seconds"),
    created=int(get.number("created")),
    **{name: get.text(name) for name in ("caption", "sound", "source_id", "platform", "uploader", "url")},
  )


class _Fields:
  """The fields of an object that others wrote: null and missing ones are empty, of a wrong type errors."""

  def __init__(self, values: Mapping[str, Any], where: str):
    if not isinstance(values, dict):
      raise UserError(f"{where}: an object is expected, not {type(values).__name__}.")
    self._values, self._where = values, where

  def _of(self, key: str, kinds: tuple[type, ...], empty):
    value = self._values.get(key)
    if value is None:
      return empty
    if not isinstance(value, kinds) or isinstance(value, bool):
      raise UserError(f"{self._where}: {key} is {type(value).__name__}, not what is expected there.")
    if isinstance(value, float) and not math.isfinite(value):
      raise UserError(f"{self._where}: {key} is {value}.")
    return value

  def text(self, key: str) -> str:
    """A string; numbers (identities, as a rule) are written out."""
    return _whole(str(self._of(key, (str, int), "")))

  def texts(self, key: str) -> list[str]:
    return [_whole(str(word)) for word in self._of(key, (list,), []) if word]

  def number(self, key: str) -> float:
    return float(self._of(key, (int, float), 0.0))

  def object(self, key: str) -> dict:
    return self._of(key, (dict,), {})

  def counts(self, keys: Iterable[str]) -> dict[str, int]:
    """Those of `keys` that are known, under the names of COUNTS, in whose order they are."""
    found = {name: self._of(key, (int, float), None) for name, key in zip(COUNTS, keys, strict=True)}
    return {name: max(int(count), 0) for name, count in found.items() if count is not None}


def _object(text: str, where: str) -> dict:
  try:
    values = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise UserError(f"{where} is not JSON: {' '.join(str(error).split())}.") from error
  if not isinstance(values, dict):
    raise UserError(f"{where}: an object is expected, not {type(values).__name__}.")
  return values


def _read(path: Path) -> str:
  try:
    return path.read_text(encoding="utf-8-sig", errors="replace")
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _whole(text: str) -> str:
  """Without halves of characters, which JSON allows and no file does."""
  return text.encode(errors="replace").decode()


def _clean(text: str) -> str:
  """In one line."""
  return " ".join(text.split())


def _hashtags(words: Iterable[str]) -> tuple[str, ...]:
  return tuple(dict.fromkeys(word.lstrip("#").lower() for word in words if word.lstrip("#")))


def _sound(track: str, artist: str) -> str:
  return f"{track} - {artist}" if track and artist else track or artist
