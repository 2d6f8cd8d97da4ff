"""Metadata of a video: caption, hashtags, counts, sound, origin.

Metadata are read from a caption in a .txt file, from the .info.json that yt-dlp writes beside a video, and
from JSON lines of TikTok's Research API, which describes videos but does not contain them.
"""

import dataclasses
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stale_jax.data.captions import keeps_original
from stale_jax.data.groups import groups
from stale_jax.data.storage import beside, read_named, read_text
from stale_jax.errors import UserError
from stale_jax.files import decode_text, encoding_of

COUNTS = ("views", "likes", "comments", "shares", "saves")
BUCKETS = 10  # Number of classes of a count: 0, 1-9, 10-99, ..., 100 million or more.
# Name of a count -> (its key in yt-dlp's info.json, its key in the Research API).
_NAMED = {
  "views": ("view_count", "view_count"),
  "likes": ("like_count", "like_count"),
  "comments": ("comment_count", "comment_count"),
  "shares": ("repost_count", "share_count"),
  "saves": ("save_count", "favourites_count"),
}
_HASHTAG = re.compile(r"#(\w+)")
_MENTION = re.compile(r"@[\w.]*\w")
# Keys of info.json that name the account that published a video, the most permanent first.
ACCOUNT_KEYS = ("uploader_id", "uploader", "channel_id", "channel", "creator")
_ACCOUNT_URLS = ("uploader_url", "channel_url")
# The name of an account within the address of its page, or of the page of its video.
_ACCOUNT_IN_URL = re.compile(r"//[^/]+/(?:@|channel/|user/|c/)([^/?#]+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described:
  """The metadata of one video. Unknown fields are empty; unknown counts are absent from `counts`.

  Attributes:
    caption: caption or description.
    hashtags: hashtags without "#", in lower case, in order of appearance, without repetitions.
    counts: the known counts. The keys are from COUNTS.
    sound: track and artist of the sound; the identifier of the sound, if the source is the Research API.
    source_id: identifier of the video, unique on its platform.
    platform: for example "tiktok" or "youtube".
    uploader: the account that published the video.
    accounts: all names of this account, such as its id, its handle and its displayed name, without "@" and in
      lower case.
    url: address of the video's page.
    seconds: duration stated by the platform; 0 if unknown.
    created: time of publication, in seconds since 1970; 0 if unknown.
  """

  caption: str = ""
  hashtags: tuple[str, ...] = ()
  counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
  sound: str = ""
  source_id: str = ""
  platform: str = ""
  uploader: str = ""
  accounts: tuple[str, ...] = ()
  url: str = ""
  seconds: float = 0.0
  created: int = 0


def read_described(video: str | Path, original: float = 0.0) -> tuple[Described, dict[str, str]]:
  """Reads the metadata files beside the file `video`: NAME.info.json and NAME.txt.

  The caption in NAME.txt replaces that of NAME.info.json, unless it is empty. If no file states the
  source_id, it is NAME. A file that cannot be read or parsed is left out.

  Args:
    video: path of the video.
    original: share of the videos that keep the caption of NAME.info.json, unless it is empty.

  Returns:
    The metadata, and the path of each file that is left out -> a message that says why.
  """
  name, faults = Path(video).stem, {}
  described, caption = Described(source_id=name), ""
  info, text = (beside(os.fspath(video), ending) for ending in (".info.json", ".txt"))
  try:
    if (values := read_text(info)) is not None:
      described = from_info(_object(values, info), info)
      described = dataclasses.replace(described, source_id=described.source_id or name)
  except UserError as error:
    faults[info] = str(error)
  try:
    caption = _clean(read_text(text) or "")
  except UserError as error:
    faults[text] = str(error)
  if caption:
    hashtags = _hashtags([*described.hashtags, *_HASHTAG.findall(caption)])
    if described.caption and keeps_original(name, original):
      caption = described.caption
    described = dataclasses.replace(described, caption=caption, hashtags=hashtags)
  return described, faults


def from_info(info: Mapping[str, Any], where: str = "info.json") -> Described:
  """Parses the info.json of yt-dlp.

  The caption is the description, because TikTok's titles are truncated, or the title if there is none.

  Args:
    info: the parsed JSON object.
    where: name of the file, for error messages.

  Raises:
    UserError: a field has the wrong type.
  """
  get = _Fields(info, where)
  description = get.text("description") or get.text("title")
  artist = get.text("artist") or ", ".join(get.texts("artists")) or get.text("creator")
  names = [get.text(key) for key in ACCOUNT_KEYS]
  urls = [get.text(key) for key in _ACCOUNT_URLS]
  in_urls = [found[1] for url in (*urls, get.text("webpage_url")) if (found := _ACCOUNT_IN_URL.search(url))]
  accounts = [name for name in (*names, *in_urls, *urls) if name]
  return Described(
    caption=_clean(description),
    hashtags=_hashtags([*_HASHTAG.findall(description), *get.texts("tags")]),
    counts=get.counts([names[0] for names in _NAMED.values()]),
    sound=_sound(get.text("track"), artist),
    source_id=get.text("id"),
    platform=(get.text("extractor_key") or get.text("extractor")).lower(),
    uploader=next(iter(accounts), ""),
    accounts=_accounts(accounts),
    url=get.text("webpage_url"),
    seconds=get.number("duration"),
    created=int(get.number("timestamp")),
  )


def from_research(video: Mapping[str, Any], where: str = "Research API") -> Described:
  """Parses a video object of TikTok's Research API. Raises UserError like `from_info`."""
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
    accounts=_accounts([name]),
    url=f"https://www.tiktok.com/@{name}/video/{number}" if number else "",
    seconds=get.number("video_duration"),
    created=int(get.number("create_time")),
  )


def read_research(path: str | Path) -> tuple[list[Described], list[str]]:
  """Reads the videos described by a file of JSON lines.

  A line is a video object, or a complete response of the API, whose videos are in `data.videos`. Lines that
  cannot be parsed, for example in a truncated download, are skipped.

  Returns:
    The metadata of the videos, and an error message for each skipped line.

  Raises:
    UserError: the file cannot be read, or no line describes a video.
  """
  videos, skipped = [], []
  if (data := read_named(os.fspath(path))) is None:
    raise UserError(f"{path} cannot be read: there is no such file.")
  if encoding_of(data)[0] != "utf-8":
    data = decode_text(data, path).encode()
  for number, line in enumerate(data.splitlines(), 1):
    if not line.strip():
      continue
    where = f"{path}, line {number}"
    try:
      answer = _object(decode_text(line, where), where)
      inner = answer.get("data")
      found = (inner.get("videos") or []) if isinstance(inner, dict) else [answer]
      if not isinstance(found, list):
        raise UserError(f"{where}: data.videos is of type {type(found).__name__}; expected a list.")
      for video in found:
        described = from_research(video, where)
        if not described.source_id:
          raise UserError(f"{where}: the video has no id.")
        videos.append(described)
    except UserError as error:
      skipped.append(str(error))
  if not videos:
    raise UserError(f"{path} describes no video: {skipped[0] if skipped else 'it is empty'}")
  return videos, skipped


def bucket(count: int) -> int:
  """The class of `count`: its number of digits, at most BUCKETS - 1; 0 for a count of 0."""
  return min(len(str(count)), BUCKETS - 1) if count > 0 else 0


def share_of(key: str) -> float:
  """Maps `key` to a pseudo-random number in [0, 1), with SHA-256.

  A split by this number stays the same when videos are added.
  """
  # A name of a file that is not valid UTF-8 contains surrogates.
  return int.from_bytes(hashlib.sha256(key.encode(errors="surrogatepass")).digest()[:8]) / 2**64


def are_held_out(videos: Sequence[Described], share: float) -> list[bool]:
  """Whether each video is in the test split.

  A fraction `share` of the uploaders is held out, with all their videos, and the same fraction of the videos
  whose uploader is unknown. Videos that share one of their `accounts`, directly or through other videos, have
  one uploader. If such a group has several values of `uploader`, it is held out if one of them is. A new
  video can therefore move videos from the training split to the test split, but never back.
  """
  names = [f"video {k}" for k in range(len(videos))]
  accounts = [[f"account {account}" for account in _accounts([v.uploader, *v.accounts])] for v in videos]
  links = ((name, account) for name, each in zip(names, accounts, strict=True) for account in each)
  group = groups({*names, *(account for each in accounts for account in each)}, links)
  least: dict[str, float] = {}
  for name, video in zip(names, videos, strict=True):
    own = share_of(video.uploader or video.source_id)
    least[group[name]] = min(own, least.get(group[name], 1.0))
  return [least[group[name]] < share for name in names]


def anonymous(described: Described, salt: str) -> Described:
  """Removes user names: uploader and accounts become salted hashes; each @name in caption and URL becomes @.

  The name of a sound that a user recorded becomes "original sound".
  """
  name = described.uploader
  sound = described.sound

  def hashed(name: str) -> str:
    return hashlib.sha256(f"{salt}\0{name}".encode(errors="surrogatepass")).hexdigest()[:32] if name else ""

  # Platforms name a sound that a user recorded after the user.
  if sound.lower().startswith("original sound") or (name and name.lower() in sound.lower()):
    sound = "original sound"
  return dataclasses.replace(
    described,
    caption=without_mentions(described.caption),
    sound=sound,
    uploader=hashed(name),
    accounts=tuple(map(hashed, described.accounts)),
    url=without_mentions(described.url),
  )


def without_mentions(text: str) -> str:
  """Replaces each @name by "@"."""
  return _MENTION.sub("@", text)


def to_json(described: Described) -> str:
  """One line of JSON, which `from_json` parses."""
  return json.dumps(dataclasses.asdict(described), ensure_ascii=False, sort_keys=True)


def from_json(line: str | bytes, where: str = "metadata") -> Described:
  """The inverse of `to_json`. Unknown keys are ignored.

  Raises:
    UserError: `line` is not a JSON object, or a field has the wrong type.
  """
  values = _object(line.decode(errors="replace") if isinstance(line, bytes) else line, where)
  get = _Fields(values, where)
  return Described(
    hashtags=tuple(get.texts("hashtags")),
    accounts=tuple(get.texts("accounts")),
    counts=_Fields(get.object("counts"), where).counts(COUNTS),
    seconds=get.number("seconds"),
    created=int(get.number("created")),
    **{name: get.text(name) for name in ("caption", "sound", "source_id", "platform", "uploader", "url")},
  )


class _Fields:
  """Typed access to a JSON object from an external source.

  A missing or null field has the empty value of its type: "", [], {} or 0. A field of the wrong type raises
  UserError.
  """

  def __init__(self, values: Mapping[str, Any], where: str):
    if not isinstance(values, dict):
      raise UserError(f"{where}: expected a JSON object, not {type(values).__name__}.")
    self._values, self._where = values, where

  def _of(self, key: str, kinds: tuple[type, ...], empty):
    value = self._values.get(key)
    if value is None:
      return empty
    if not isinstance(value, kinds) or isinstance(value, bool):
      expected = " or ".join(kind.__name__ for kind in kinds)
      raise UserError(f"{self._where}: {key} is of type {type(value).__name__}; expected {expected}.")
    if isinstance(value, float) and not math.isfinite(value):
      raise UserError(f"{self._where}: {key} is {value}; a finite number is needed.")
    return value

  def text(self, key: str) -> str:
    """The field as a string. An integer, usually an identifier, is converted."""
    return _whole(str(self._of(key, (str, int), "")))

  def texts(self, key: str) -> list[str]:
    return [_whole(str(word)) for word in self._of(key, (list,), []) if word]

  def number(self, key: str) -> float:
    try:
      return float(self._of(key, (int, float), 0.0))
    except OverflowError as error:
      raise UserError(f"{self._where}: {key} is too large a number.") from error

  def object(self, key: str) -> dict:
    return self._of(key, (dict,), {})

  def counts(self, keys: Iterable[str]) -> dict[str, int]:
    """The counts that the object states, under their names in COUNTS; negative counts become 0.

    Args:
      keys: the keys of the counts in the object, in the order of COUNTS.
    """
    counts = {name: self._of(key, (int, float), None) for name, key in zip(COUNTS, keys, strict=True)}
    return {name: max(int(count), 0) for name, count in counts.items() if count is not None}


def _object(text: str, where: str) -> dict:
  try:
    values = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise UserError(f"{where} is not JSON: {' '.join(str(error).split())}.") from error
  if not isinstance(values, dict):
    raise UserError(f"{where}: expected a JSON object, not {type(values).__name__}.")
  return values


def _whole(text: str) -> str:
  """Replaces each lone surrogate, which JSON allows but UTF-8 cannot encode, by "?"."""
  return text.encode(errors="replace").decode()


def _clean(text: str) -> str:
  """Replaces each run of white space by one space."""
  return " ".join(text.split())


def _hashtags(words: Iterable[str]) -> tuple[str, ...]:
  return tuple(dict.fromkeys(word.lstrip("#").lower() for word in words if word.lstrip("#")))


def _accounts(names: Iterable[str]) -> tuple[str, ...]:
  """`names` as platforms compare them: "@Handle" and "handle" are one."""
  return tuple(dict.fromkeys(name for name in (_account(name) for name in names) if name))


def _account(name: str) -> str:
  return name.strip().removeprefix("https://").removeprefix("http://").strip("@/").lower()


def _sound(track: str, artist: str) -> str:
  return f"{track} - {artist}" if track and artist else track or artist
